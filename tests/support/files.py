"""Files that are hard to read, made on the spot."""

from __future__ import annotations

import io
import zlib

from PIL import Image, ImageDraw
from reportlab import rl_config
from reportlab.lib import colors
from reportlab.lib.enums import TA_JUSTIFY
from reportlab.lib.pagesizes import A4
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate, Paragraph, SimpleDocTemplate, Table

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


HIDDEN_IN_PDF = ("white", "invisible", "tiny", "off the page", "covered", "clipped")


def pdf_hiding(way: str, secret: str, *shown: str) -> bytes:
    """A page with the lines `shown` and `secret` between them, hidden in one of the ways `HIDDEN_IN_PDF`."""
    rl_config.invariant = 1
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A4)
    for n, line in enumerate(shown):
        canvas.drawString(60, 700 - 14 * n, line)
    _HIDING[way](canvas, secret)
    canvas.save()
    return out.getvalue()


def _white(canvas: Canvas, secret: str) -> None:
    canvas.setFillColorRGB(1, 1, 1)
    canvas.drawString(60, 600, secret)


def _invisible(canvas: Canvas, secret: str) -> None:
    text = canvas.beginText(60, 600)
    text.setTextRenderMode(3)
    text.textOut(secret)
    canvas.drawText(text)


def _tiny(canvas: Canvas, secret: str) -> None:
    canvas.setFont("Helvetica", 0.5)
    canvas.drawString(60, 600, secret)


def _off_the_page(canvas: Canvas, secret: str) -> None:
    canvas.drawString(60, 2000, secret)


def _covered(canvas: Canvas, secret: str) -> None:
    canvas.drawString(60, 600, secret)
    canvas.setFillColorRGB(0.2, 0.4, 0.8)
    canvas.rect(50, 590, 400, 30, stroke=0, fill=1)


def _clipped(canvas: Canvas, secret: str) -> None:
    path = canvas.beginPath()
    path.rect(300, 100, 20, 20)
    canvas.clipPath(path, stroke=0, fill=0)
    canvas.drawString(60, 600, secret)


_HIDING = dict(
    zip(HIDDEN_IN_PDF, (_white, _invisible, _tiny, _off_the_page, _covered, _clipped), strict=True)
)


def scan(recognised: str, *, paper_only: bool = False) -> bytes:
    """A page that is one image, of lines unless `paper_only`, with an invisible line of text over it."""
    image = Image.new("L", (595, 842), 235)
    if not paper_only:
        ImageDraw.Draw(image).text((60, 842 - 612), "x" * len(recognised), fill=20)
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A4)
    canvas.drawInlineImage(image, 0, 0, *A4)
    _invisible(canvas, recognised)
    canvas.save()
    return out.getvalue()


def white_on_a_band(text: str) -> bytes:
    """White text on a coloured band."""
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A4)
    canvas.setFillColorRGB(0.1, 0.2, 0.6)
    canvas.rect(40, 590, 500, 30, stroke=0, fill=1)
    _white(canvas, text)
    canvas.save()
    return out.getvalue()


def columns(count: int, *texts: str) -> bytes:
    """Paragraphs in justified columns."""
    rl_config.invariant = 1
    out = io.BytesIO()
    width = (A4[0] - 80) / count
    frames = [Frame(40 + n * width, 500, width - 12, 280, 0, 0, 0, 0) for n in range(count)]
    document = BaseDocTemplate(out, pagesize=A4, pageTemplates=[PageTemplate(frames=frames)])
    style = ParagraphStyle(
        "body", fontName="Times-Roman", fontSize=10, leading=12, alignment=TA_JUSTIFY, spaceAfter=6
    )
    document.build([Paragraph(text, style) for text in texts])
    return out.getvalue()


def ruled_table(*rows: tuple[str, ...]) -> bytes:
    """A table with lines around its cells, whose text may take several lines."""
    rl_config.invariant = 1
    out = io.BytesIO()
    style = ParagraphStyle("cell", fontName="Helvetica", fontSize=10, leading=12)
    table = Table([[Paragraph(cell, style) for cell in row] for row in rows])
    table.setStyle([("GRID", (0, 0), (-1, -1), 0.5, colors.grey)])
    SimpleDocTemplate(out, pagesize=A4).build([table])
    return out.getvalue()


def form(**values: str) -> bytes:
    """A form with a text field for each value, and a box that is checked and one that is not."""
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A4)
    canvas.drawString(60, 760, "Request for a card")
    for n, (name, value) in enumerate(values.items()):
        canvas.acroForm.textfield(
            name=name, tooltip=name.replace("_", " "), value=value, x=60, y=700 - 40 * n
        )
    canvas.acroForm.checkbox(name="rules", tooltip="Rules accepted", checked=True, x=60, y=300)
    canvas.acroForm.checkbox(name="post", tooltip="By post", checked=False, x=60, y=260)
    canvas.save()
    return out.getvalue()
