"""Files that are hard to read, made on the spot."""

from __future__ import annotations

import io
import zlib

from reportlab import rl_config
from reportlab.lib.pagesizes import A4
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas

Run = tuple[float, float, float, str]


def pdf(*pages: list[Run], title: str = "", password: str | None = None, bold_from: float = 14) -> bytes:
    """A PDF whose pages hold runs (x, y, size, text); sizes from `bold_from` are bold."""
    rl_config.invariant = 1
    out = io.BytesIO()
    encrypt = None if password is None else StandardEncryption(password, ownerPassword="owner")
    canvas = Canvas(out, pagesize=A4, encrypt=encrypt)
    canvas.setTitle(title)
    for page in pages:
        for x, y, size, text in page:
            canvas.setFont("Helvetica-Bold" if size >= bold_from else "Helvetica", size)
            canvas.drawString(x, y, text)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def lines(*texts: str, top: float = 700, size: float = 11, x: float = 60) -> list[Run]:
    """Lines of one paragraph, one below the other."""
    return [(x, top - 14 * index, size, text) for index, text in enumerate(texts)]


def flate_bomb(mebibytes: int, layers: int) -> bytes:
    """A PDF of some kilobytes whose page inflates to `mebibytes`, compressed `layers` times."""
    squeeze = zlib.compressobj(9)
    data = b"".join(squeeze.compress(b"0" * (1 << 20)) for _ in range(mebibytes)) + squeeze.flush()
    for _ in range(layers - 1):
        data = zlib.compress(data, 9)
    return _one_page(data, b"[" + b" /FlateDecode" * layers + b" ]")


def text_bomb(words: int) -> bytes:
    """A PDF that draws the same word again and again."""
    drawn = b"BT /F1 12 Tf 50 200 Td " + b"(bomb ) Tj " * words + b"ET"
    return _one_page(zlib.compress(drawn, 9), b"/FlateDecode")


def _one_page(stream: bytes, filters: bytes) -> bytes:
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 300] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d /Filter %s >>\nstream\n%s\nendstream" % (len(stream), filters, stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    trailer = b"trailer << /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % len(out)
    return out + b"xref\n0 6\n0000000000 65535 f \n" + table + trailer
