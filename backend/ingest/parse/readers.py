"""Which module reads which kind; each is imported when first needed, and most folders hold one kind."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from backend.ingest.parse.document import Document

_PDF: str = "application/pdf"
_MESSAGE: str = "message/rfc822"
_MODULES: dict[str, str] = {
    _PDF: "pages.pdf",
    "text/markdown": "markdown",
    "text/html": "web.html",
    "text/plain": "plain",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "office.docx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "office.pptx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "office.xlsx",
    "application/vnd.oasis.opendocument.text": "office.odt",
    "application/epub+zip": "office.epub",
    _MESSAGE: "office.eml",
    "text/csv": "office.csv_text",
}


def module_of(kind: str) -> Any:
    """The module that reads `kind`."""
    return import_module(f"backend.ingest.parse.{_MODULES[kind]}")


def read(kind: str, data: bytes, *, max_pages: int, max_chars: int) -> Document:
    """The document in `data`.

    Raises:
        UnreadableDocument
    """
    bounds = {"max_pages": max_pages, "max_chars": max_chars} if kind in (_PDF, _MESSAGE) else {}
    document: Document = module_of(kind).read(data, **bounds)
    return document
