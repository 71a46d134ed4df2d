"""Files that are not what they say, or far too much of it."""

from __future__ import annotations

import asyncio
import io
import time
import zlib
from collections.abc import AsyncIterator, Iterator

import httpx
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas

from loadtests.bad_input.bodies import JSON_TYPE
from loadtests.bad_input.tally import CLOSED, Tally

PATH = "/api/v1/documents"
_BOUNDARY = "limit-of-parts"
_TYPE = {"content-type": f"multipart/form-data; boundary={_BOUNDARY}"}

NAMES = (
    *("../../etc/passwd", "..\\..\\boot.ini", "/etc/passwd", "C:\\autoexec.bat", "..", ".", "", "a\x00b.txt"),
    *(
        "a" * 300 + ".txt",
        "é" * 200 + ".md",
        "\u202etxt.exe",
        "a\nb.txt",
        "a\r\nX: y.txt",
        "~",
        "-rf.txt",
        "%2e%2e%2fa",
    ),
    *(
        "CON.txt",
        ".htaccess",
        "a/b/c.txt",
        "<script>.html",
        "${x}.txt",
        "noext",
        "a.pdf.exe",
        '"quoted".txt',
        " .txt",
    ),
)


def pdf(*, password: str = "", text: str = "A loan lasts two weeks.") -> bytes:
    """A small good PDF, encrypted if a password is given."""
    out = io.BytesIO()
    locked = StandardEncryption(password, canPrint=0) if password else None
    canvas = Canvas(out, encrypt=locked)
    canvas.drawString(72, 720, text)
    canvas.save()
    return out.getvalue()


def bomb_pdf(megabytes: int, layers: int = 3) -> bytes:
    """A page whose content is `megabytes` of zeros, compressed `layers` times."""
    packer = zlib.compressobj(9)
    data = b"".join([packer.compress(bytes(1024**2)) for _ in range(megabytes)]) + packer.flush()
    for _ in range(layers - 1):
        data = zlib.compress(data, 9)
    filters = b"/FlateDecode " * layers
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R/Resources<<>>>>",
        b"<</Length %d/Filter[%s]>>stream\n%s\nendstream" % (len(data), filters, data),
    ]
    return _pdf_of(objects)


def _pdf_of(objects: list[bytes]) -> bytes:
    out, places = b"%PDF-1.5\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(objects) + 1
    return (
        out
        + b"xref\n0 %d\n0000000000 65535 f \n%strailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF"
        % (*(size, table, size, len(out)),)
    )


def looping_pdf() -> bytes:
    """A page tree that is its own child."""
    return _pdf_of([b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[2 0 R 2 0 R]/Count 999999>>"])


def files(*, bomb_megabytes: int) -> Iterator[tuple[str, bytes]]:
    """Names and contents; all of them are refused, or read without harm."""
    good = pdf()
    yield "empty.txt", b""
    yield "empty.pdf", b""
    yield "image.pdf", b"\x89PNG\r\n\x1a\n" + bytes(2000)
    yield "archive.pdf", b"PK\x03\x04" + bytes(2000)
    yield "program.txt", b"\x7fELF\x02\x01\x01" + bytes(2000)
    yield "document.txt", good
    yield "text.pdf", b"This is only text."
    yield "program.exe", b"MZ" + bytes(2000)
    yield "encrypted.pdf", pdf(password="sesame")
    yield "half.pdf", good[: len(good) // 2]
    yield "tail.pdf", good[-200:]
    yield "bomb.pdf", bomb_pdf(bomb_megabytes)
    yield "loop.pdf", looping_pdf()
    yield "magic-only.pdf", b"%PDF-1.7\n"
    yield "latin1.txt", "Le prêt dure deux semaines. ".encode("latin-1") * 20
    yield "utf16.txt", ("Le prêt dure deux semaines. " * 20).encode("utf-16")
    yield "zeros.txt", bytes(100_000)
    yield "random.txt", bytes(n * 7919 % 251 for n in range(50_000))
    yield "one-line.txt", b"word " * 20_000
    yield "no-space.txt", b"a" * 100_000
    yield "spaces.txt", b" \n\t" * 100_000
    yield "deep.html", b"<div>" * 50_000 + b"deep" + b"</div>" * 50_000
    yield (
        "entities.html",
        b"<!DOCTYPE x [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;'>]><p>&b;" + b"&amp;" * 50_000,
    )
    yield "file-entity.html", b"<!DOCTYPE x [<!ENTITY f SYSTEM 'file:///etc/passwd'>]><p>secret: &f;</p>"
    yield "unclosed.html", b"<p><b><table><tr><td>" * 20_000
    yield "script.html", b"<script>alert(1)</script><p onclick=alert(2)>A loan lasts two weeks.</p>"
    yield "brackets.md", b"[" * 100_000
    yield "quotes.md", b">" * 50_000 + b" deep"
    yield "emphasis.md", b"*a **b " * 3_000
    yield "table.md", b"|" * 50_000 + b"\n" + b"|-" * 50_000
    yield "front-matter.md", b"---\n" + b"a: &a [*a, *a]\n" * 1000 + b"---\n# Title\nText."


def _part(name: str, content: bytes, field: str = "file") -> bytes:
    shown = name.encode("utf-8").replace(b'"', b"%22")
    head = b'Content-Disposition: form-data; name="%s"; filename="%s"\r\n\r\n' % (field.encode(), shown)
    return b"--" + _BOUNDARY.encode() + b"\r\n" + head + content + b"\r\n"


_END = b"--" + _BOUNDARY.encode() + b"--\r\n"

ODD_FORMS: dict[str, tuple[dict[str, str], bytes]] = {
    "no part": (_TYPE, _END),
    "nothing": (_TYPE, b""),
    "no boundary": ({"content-type": "multipart/form-data"}, _part("a.txt", b"x") + _END),
    "another boundary": (
        {"content-type": "multipart/form-data; boundary=other"},
        _part("a.txt", b"x") + _END,
    ),
    "boundary of 5,000 characters": (
        {"content-type": "multipart/form-data; boundary=" + "b" * 5000},
        _part("a.txt", b"x") + _END,
    ),
    "no end": (_TYPE, _part("a.txt", b"x")),
    "another field": (_TYPE, _part("a.txt", b"x", field="other") + _END),
    "a field without a file": (
        _TYPE,
        b"--"
        + _BOUNDARY.encode()
        + b'\r\nContent-Disposition: form-data; name="file"\r\n\r\ntext\r\n'
        + _END,
    ),
    "a part without a header": (_TYPE, b"--" + _BOUNDARY.encode() + b"\r\n\r\ntext\r\n" + _END),
    "a part header of 100 KB": (
        _TYPE,
        b"--" + _BOUNDARY.encode() + b"\r\nX: " + b"a" * 100_000 + b"\r\n\r\ntext\r\n" + _END,
    ),
    "5,000 files": (_TYPE, _part("a.txt", b"x") * 5000 + _END),
    "5,000 fields": (
        _TYPE,
        (b"--" + _BOUNDARY.encode() + b'\r\nContent-Disposition: form-data; name="x"\r\n\r\ny\r\n') * 5000
        + _END,
    ),
    "JSON": (JSON_TYPE, b'{"file":"a"}'),
    "a form": ({"content-type": "application/x-www-form-urlencoded"}, b"file=a"),
    "zeros": (_TYPE, bytes(10_000)),
}


async def try_uploads(client: httpx.AsyncClient, tally: Tally, *, quick: bool) -> dict[str, str]:
    """Every form, name and file; returns what became of each file: its state, or why it was refused."""
    for name, (headers, body) in ODD_FORMS.items():
        answer = await client.post(PATH, content=body, headers=headers)
        tally.add("forms", name, answer.status_code, answer.content, refuse=True)
    pending: dict[str, str] = {}
    outcomes: dict[str, str] = {}
    odd_names = ((name, f"A note on loans, number {n}.".encode()) for n, name in enumerate(NAMES))
    for group, given in (("names", odd_names), ("files", files(bomb_megabytes=128 if quick else 1024))):
        for name, content in given:
            answer = await client.post(PATH, content=_part(name, content) + _END, headers=_TYPE)
            tally.add(group, repr(name[:40]), answer.status_code, answer.content)
            if answer.status_code == 202:
                pending[name] = answer.json()["id"]
            else:
                outcomes[name] = f"refused: {answer.status_code}"
    await _try_huge(client, tally)
    for name, ingestion in pending.items():
        outcomes[name] = await _ended(client, tally, name, ingestion, limit_s=180)
    return outcomes


async def _try_huge(client: httpx.AsyncClient, tally: Tally) -> None:
    """200 MB, with and without saying so before."""
    size = 200 * 1024**2
    head, tail = _part("huge.txt", b"")[:-2], b"\r\n" + _END

    async def pieces() -> AsyncIterator[bytes]:
        yield head
        for _ in range(size // 2**20):
            yield b"a" * 2**20
        yield tail

    announced = {"content-length": str(len(head) + size + len(tail))}
    for name, headers in (
        ("200 MB, streamed", _TYPE),
        ("200 MB, announced", _TYPE | announced),
    ):
        try:
            answer = await client.post(PATH, content=pieces(), headers=headers)
            tally.add("huge", name, answer.status_code, answer.content, refuse=True)
        except httpx.TransportError:
            tally.add("huge", name, CLOSED)


async def _ended(
    client: httpx.AsyncClient, tally: Tally, name: str, ingestion: str, *, limit_s: float
) -> str:
    deadline = time.perf_counter() + limit_s
    while time.perf_counter() < deadline:
        answer = await client.get(f"/api/v1/ingestions/{ingestion}")
        progress = answer.json()
        if progress.get("state") in ("done", "failed"):
            item = progress["items"][0]
            return f"{item['state']}: {item.get('reason') or ''}".rstrip(": ")
        await asyncio.sleep(0.25)
    tally.surprise(f"files: {name!r:.40}: not ended after {limit_s:.0f} s")
    return "not ended"
