"""Which module reads which kind; each is imported when first needed, and most folders hold one kind."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from backend.ingest.parse.document import Document

_PDF: str = "application/pdf"
_MESSAGE: str = "message/rfc822"
_MODULES: dict[str, str] = {
    _PDF: "pdf",
    "text/markdown": "markdown",
    "text/html": "html",
    "text/plain": "plain",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.oasis.opendocument.text": "odt",
    "application/epub+zip": "epub",
    _MESSAGE: "eml",
    "text/csv": "csv_text",
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
