"""Books (.epub): their chapters in the order of the spine, each read as a page of HTML."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from posixpath import dirname

from lxml import etree

from backend.core.errors import UnreadableDocument
from backend.ingest.base import Block, Note
from backend.ingest.parse.document import Document, first_heading, sane_title, summed
from backend.ingest.parse.office.package import Package, dublin_core, resolved
from backend.ingest.parse.text import decode
from backend.ingest.parse.web.markup import from_markup

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_PAGES = ("application/xhtml+xml", "text/html")
_FONT_METHODS = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")


@dataclass(frozen=True, slots=True)
class _Chapter:
    path: str
    is_contents: bool


def read(data: bytes) -> Document:
    """The document in an .epub file, without its table of contents.

    Raises:
        UnreadableDocument: Damaged, or its chapters are encrypted.
    """
    package = Package(data)
    if _is_encrypted(package):
        raise UnreadableDocument("it is encrypted")
    book = _book_path(package)
    root = package.xml(book)
    blocks: list[Block] = []
    notes: list[Note] = []
    chapters = list(_chapters(root, dirname(book)))
    for chapter in chapters:
        if not chapter.is_contents and chapter.path in package:
            found = from_markup(decode(package.read(chapter.path)))
            blocks += found.blocks
            notes += found.notes
    if contents := sum(chapter.is_contents for chapter in chapters):
        notes.append(Note("contents_skipped", contents))
    title, about = dublin_core(root)
    return Document(sane_title(title) or first_heading(blocks), tuple(blocks), summed(notes), about)


def _is_encrypted(package: Package) -> bool:
    """Whether anything but fonts is."""
    if _ENCRYPTION not in package:
        return False
    methods = package.xml(_ENCRYPTION).iterfind(".//{*}EncryptedData/{*}EncryptionMethod")
    return any(method.get("Algorithm") not in _FONT_METHODS for method in methods)


def _book_path(package: Package) -> str:
    root = package.xml(_CONTAINER) if _CONTAINER in package else None
    found = root.find(".//{*}rootfile") if root is not None else None
    path = found.get("full-path", "") if found is not None else ""
    if path not in package:
        raise UnreadableDocument("it is damaged")
    return path


def _chapters(root: etree._Element, folder: str) -> Iterator[_Chapter]:
    """What the spine names, in order."""
    items = {item.get("id", ""): item for item in root.iterfind("{*}manifest/{*}item")}
    contents = {
        resolved(folder, one.get("href", ""))
        for one in root.iterfind("{*}guide/{*}reference")
        if one.get("type") == "toc"
    }
    for reference in root.iterfind("{*}spine/{*}itemref"):
        item = items.get(reference.get("idref", ""))
        if item is None or item.get("media-type") not in _PAGES:
            continue
        path = resolved(folder, item.get("href", ""))
        is_contents = path in contents or "nav" in item.get("properties", "").split()
        yield _Chapter(path, is_contents)
