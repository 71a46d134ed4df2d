"""HTML files: the text a reader came for, as blocks."""

from __future__ import annotations

import re

from backend.ingest.parse.document import Document
from backend.ingest.parse.text import decode
from backend.ingest.parse.web import span
from backend.ingest.parse.web.markup import document, seen, write

_CHARSET = re.compile(rb"<(?:meta|\?xml)[^>]*?(?:charset|encoding)\s*=\s*[\"']?\s*([\w-]+)", re.I)


def read(data: bytes) -> Document:
    """The document in an HTML file, without menus, what stands around the content, and hidden text.

    Raises:
        UnreadableDocument: It is not text.
    """
    page = seen(_decoded(data))
    if page is None:
        return Document("", ())
    written = write(page.root, furniture=False)
    if not written:
        return document(page, write(page.root))
    return document(page, tuple(span.content(page.root, written)))


def _decoded(data: bytes) -> str:
    if (match := _CHARSET.search(data[:2048])) and not data.startswith(
        (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
    ):
        try:
            return data.decode(match.group(1).decode("ascii").replace("iso-8859-1", "cp1252"))
        except (LookupError, UnicodeDecodeError):
            pass
    return decode(data)
