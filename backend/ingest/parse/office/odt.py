"""OpenDocument texts (.odt), by way of HTML."""

from __future__ import annotations

from lxml import etree

from backend.core.errors import UnreadableDocument
from backend.ingest.base import About, Note
from backend.ingest.parse.document import Document, first_heading, sane_title, summed
from backend.ingest.parse.office.odt_styles import TABLE, TEXT, Styles
from backend.ingest.parse.office.package import Package, dublin_core
from backend.ingest.parse.text import clean, squeeze
from backend.ingest.parse.web.markup import from_markup

_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_DRAW = "{urn:oasis:names:tc:opendocument:xmlns:drawing:1.0}"
_CONTENTS = frozenset(
    TEXT + name
    for name in (
        "table-of-content",
        "alphabetical-index",
        "illustration-index",
        "table-index",
        "object-index",
    )
)
_NOT_TEXT = frozenset(
    (f"{TEXT}tracked-changes", f"{_OFFICE}forms", f"{TEXT}sequence-decls", f"{TEXT}variable-decls")
)
_MOST_SPACES = 100
_MOST_REPEATED = 100


def read(data: bytes) -> Document:
    """The document in an .odt file: headings, lists, tables, notes; no hidden text, images or contents table.

    Raises:
        UnreadableDocument: Damaged, encrypted, or nested too deeply.
    """
    package = Package(data)
    if "META-INF/manifest.xml" in package:
        manifest = package.xml("META-INF/manifest.xml")
        if manifest.find(".//{*}encryption-data") is not None:
            raise UnreadableDocument("it is encrypted")
    content = package.xml("content.xml")
    body = content.find(f"{_OFFICE}body/{_OFFICE}text")
    if body is None:
        raise UnreadableDocument("it is not an OpenDocument text")
    styled = [content, package.xml("styles.xml")] if "styles.xml" in package else [content]
    writer = _Writer(Styles(styled))
    document = from_markup(writer.markup(body))
    meta_title, about = dublin_core(package.xml("meta.xml")) if "meta.xml" in package else ("", About())
    title = sane_title(writer.title) or sane_title(meta_title) or first_heading(document.blocks)
    return Document(title, document.blocks, summed((*writer.notes(), *document.notes)), about)


class _Writer:
    """Writes the text as HTML: only elements that hold text, without attributes but spans."""

    def __init__(self, styles: Styles) -> None:
        self._styles = styles
        self._footnotes: list[etree._Element] = []
        self._hidden = self._images = self._contents = self._comments = 0
        self._lists: list[str] = []
        self.title = ""

    def markup(self, body: etree._Element) -> str:
        """All of it, footnotes last."""
        root = etree.Element("body")
        self._blocks(body, root)
        notes = etree.SubElement(root, "ol") if self._footnotes else root
        for note in self._footnotes:
            self._blocks(note, etree.SubElement(notes, "li"))
        return str(etree.tostring(root, encoding="unicode", method="html"))

    def notes(self) -> list[Note]:
        """What was left out."""
        found = [Note("hidden_text", self._hidden), Note("images_skipped", self._images)]
        found.append(Note("contents_skipped", self._contents))
        found.append(Note("hidden_parts", self._comments, f"{self._comments} comments"))
        return [note for note in found if note.count]

    def _blocks(self, parent: etree._Element, out: etree._Element) -> None:
        for element in parent:
            tag = element.tag
            if tag in _CONTENTS:
                self._contents += 1
            elif tag in _NOT_TEXT:
                continue
            elif tag in (f"{TEXT}p", f"{TEXT}h"):
                self._paragraph(element, out)
            elif tag == f"{TEXT}list":
                self._list(element, out)
            elif tag == f"{TABLE}table":
                self._table(element, out)
            elif tag == f"{TEXT}section" and self._styles.is_collapsed(element):
                self._hidden += 1
            elif tag == f"{_DRAW}frame":
                self._frame(element, out)
            else:
                self._blocks(element, out)

    def _paragraph(self, element: etree._Element, out: etree._Element) -> None:
        if self._styles.is_hidden(element) or element.find(f".//{TEXT}hidden-paragraph") is not None:
            self._hidden += bool("".join(element.itertext()).strip())
            return
        name = "p"
        if element.tag == f"{TEXT}h":
            level = element.get(f"{TEXT}outline-level", "1")
            name = f"h{min(max(int(level), 1), 6) if level.isdecimal() else 1}"
        if is_title := self._styles.is_title(element):
            name = "h1"
        made = etree.SubElement(out, name)
        frames: list[etree._Element] = []
        self._inline(element, made, frames)
        if is_title and not self.title:
            self.title = squeeze(clean("".join(made.itertext())))
        for frame in frames:
            self._frame(frame, out)

    def _inline(self, element: etree._Element, out: etree._Element, frames: list[etree._Element]) -> None:
        _add(out, element.text)
        for child in element:
            self._inline_child(child, out, frames)
            _add(out, child.tail)

    def _inline_child(self, child: etree._Element, out: etree._Element, frames: list[etree._Element]) -> None:
        tag = child.tag
        if tag == f"{TEXT}s":
            count = child.get(f"{TEXT}c", "1")
            _add(out, " " * min(int(count) if count.isdecimal() else 1, _MOST_SPACES))
        elif tag == f"{TEXT}tab":
            _add(out, " ")
        elif tag == f"{TEXT}line-break":
            etree.SubElement(out, "br")
        elif tag == f"{TEXT}note":
            _add(out, f"[{len(self._footnotes) + 1}]")
            self._footnotes += child.findall(f"{TEXT}note-body")
        elif tag == f"{_OFFICE}annotation":
            self._comments += 1
        elif tag == f"{TEXT}hidden-text" or (tag == f"{TEXT}span" and self._styles.is_hidden(child)):
            self._hidden += bool("".join(child.itertext()).strip())
        elif tag == f"{_DRAW}frame":
            frames.append(child)
        elif tag == f"{TEXT}ruby-text":
            return
        else:
            self._inline(child, out, frames)

    def _frame(self, frame: etree._Element, out: etree._Element) -> None:
        """A box of text, or a picture."""
        boxes = frame.findall(f"{_DRAW}text-box")
        for box in boxes:
            self._blocks(box, out)
        self._images += not boxes and frame.find(f"{_DRAW}image") is not None

    def _list(self, element: etree._Element, out: etree._Element) -> None:
        style = element.get(f"{TEXT}style-name") or (self._lists[-1] if self._lists else "")
        self._lists.append(style)
        ordered = self._styles.is_ordered(style, len(self._lists))
        made = etree.SubElement(out, "ol" if ordered else "ul")
        for item in element:
            head = item.tag == f"{TEXT}list-header"
            self._blocks(item, etree.SubElement(made, "div" if head else "li"))
        self._lists.pop()

    def _table(self, element: etree._Element, out: etree._Element) -> None:
        made = etree.SubElement(out, "table")
        for row in element.iter(f"{TABLE}table-row"):
            if next(row.iterancestors(f"{TABLE}table")) is not element:
                continue  # of a table within a cell
            if row.get(f"{TABLE}visibility") in ("collapse", "filter"):
                self._hidden += bool("".join(row.itertext()).strip())
                continue
            self._row(row, etree.SubElement(made, "tr"))

    def _row(self, row: etree._Element, out: etree._Element) -> None:
        for cell in row.iterchildren(f"{TABLE}table-cell"):
            repeated = cell.get(f"{TABLE}number-columns-repeated", "1")
            for _ in range(min(int(repeated) if repeated.isdecimal() else 1, _MOST_REPEATED)):
                made = etree.SubElement(out, "td")
                for name, attribute in (("columns", "colspan"), ("rows", "rowspan")):
                    if span := cell.get(f"{TABLE}number-{name}-spanned"):
                        made.set(attribute, span)
                self._blocks(cell, made)


def _add(element: etree._Element, text: str | None) -> None:
    """Text at the end of what the element holds."""
    if not text:
        return
    if len(element):
        element[-1].tail = (element[-1].tail or "") + text
    else:
        element.text = (element.text or "") + text
