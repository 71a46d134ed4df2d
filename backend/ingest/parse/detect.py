"""What a file is: its name says, its first bytes confirm."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Literal

from backend.core.errors import UnreadableDocument, UnsupportedDocument
from backend.ingest.base import MediaType

SUFFIXES: dict[str, MediaType] = {
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".html": "text/html",
    ".htm": "text/html",
    ".xhtml": "text/html",
    ".pdf": "application/pdf",
    ".txt": "text/plain",
    ".text": "text/plain",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".docm": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".pptm": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".xlsm": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".odt": "application/vnd.oasis.opendocument.text",
    ".epub": "application/epub+zip",
    ".eml": "message/rfc822",
    ".csv": "text/csv",
    ".tsv": "text/csv",
}
_ZIPPED: dict[MediaType, bytes] = {
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": b"word/document",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": b"ppt/presentation",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": b"xl/workbook",
    "application/vnd.oasis.opendocument.text": b"mimetypeapplication/vnd.oasis.opendocument.text",
    "application/epub+zip": b"META-INF/container.xml",
}
"""Kinds that are zip archives, and what the list of their parts holds."""
SKIPPED_SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in str.split(
        "apng avif bmp cur eps gif heic heif ico jfif jpe jpeg jpg jxl png psd svg svgz tif tiff webp "
        "aac aif aiff avi flac flv m4a m4v mid midi mkv mov mp3 mp4 mpeg mpg oga ogg ogv opus wav webm wma "
        "wmv eot otf ttf woff woff2 css less sass scss js cjs mjs map "
        "ds_store lnk url webloc"
    )
)
"""What lies in a folder of documents beside the documents, and holds no text for a reader."""
KINDS_READ = f"only {', '.join(list(SUFFIXES)[:-1])} and {list(SUFFIXES)[-1]} files are read"
_ZIP = "a zip archive or an office file"
_MAGIC = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"PK\x03\x04", _ZIP),
    (b"PK\x05\x06", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"\xd0\xcf\x11\xe0", "an old office file"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90", "a program"),
    (b"SQLite format 3", "a database"),
    (b"RIFF", "a sound, image or film"),
    (b"{\\rtf", "an RTF file"),
)
_PDF_WITHIN = 1024
_TEXT_BOMS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_HTML = re.compile(
    rb"^(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<(!doctype\s+html|html)\b", re.I | re.S
)


def media_type(name: str, data: bytes) -> MediaType:
    """Format of the file, from its suffix; without suffix, from its content.

    Raises:
        UnreadableDocument: It is empty.
        UnsupportedDocument: A suffix we do not read, or content of another kind than the suffix says.
    """
    if not data.strip(b" \t\r\n\x00\xef\xbb\xbf\xff\xfe"):
        raise UnreadableDocument("it is empty")
    suffix = PurePosixPath(name).suffix.lower()
    if suffix and suffix not in SUFFIXES:
        raise UnsupportedDocument(KINDS_READ)
    kind = SUFFIXES[suffix] if suffix else _sniff(data)
    found = _content(data)
    if kind == "application/pdf" and found != "a PDF":
        raise UnsupportedDocument(f"it is named as a PDF and is {found or 'not one'}")
    if kind in _ZIPPED:
        _check_zipped(kind, data, found)
    elif kind != "application/pdf" and found:
        raise UnsupportedDocument(f"it is named as text and is {found}")
    return kind


def _check_zipped(kind: MediaType, data: bytes, found: str) -> None:
    if found == "an old office file":
        raise UnreadableDocument("it is encrypted, or an office file of the old kind")
    if found != _ZIP:
        raise UnsupportedDocument(f"it is named as an office file or book and is {found or 'not one'}")
    inside = _inside(data)
    if inside not in ("", kind):
        raise UnsupportedDocument(f"its name does not fit what is in it; {_suffix(inside)} would")


def _inside(data: bytes) -> MediaType | Literal[""]:
    """The kind of zip archive that this is; "" where its parts do not tell."""
    return next((kind for kind, part in _ZIPPED.items() if part in data), "")


def _suffix(kind: str) -> str:
    return next(suffix for suffix, one in SUFFIXES.items() if one == kind)


def _content(data: bytes) -> str:
    """What binary format this is, in words; "" for text."""
    if data.startswith(b"%PDF-"):
        return "a PDF"
    for magic, what in _MAGIC:
        if data.startswith(magic):
            return what
    if data.startswith(_TEXT_BOMS):
        return ""
    if b"%PDF-" in data[:_PDF_WITHIN] and b"\nendobj" in data.replace(b"\r", b"\n"):
        return "a PDF"
    return "not text" if b"\x00" in data[:65536] else ""


def _sniff(data: bytes) -> MediaType:
    if _content(data) == "a PDF":
        return "application/pdf"
    if _content(data) == _ZIP and (inside := _inside(data)):
        return inside
    return "text/html" if _HTML.match(data[:4096]) else "text/plain"
