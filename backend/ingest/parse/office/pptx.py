"""Presentations (.pptx): each slide that is shown, in order, with its tables and its speaker's notes."""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

from backend.core.errors import UnreadableDocument
from backend.ingest.base import Block, Note
from backend.ingest.parse.document import Document, first_heading, sane_title
from backend.ingest.parse.office import slide_text
from backend.ingest.parse.office.package import Package
from backend.ingest.parse.office.slide_shapes import TITLES, A, P, Shape, Shapes

_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_CHART = "{http://schemas.openxmlformats.org/drawingml/2006/chart}chart"
_DIAGRAM = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}relIds"
_BULLETED = ("obj", "body")
_SIZE = (9_144_000, 6_858_000)
_OFF = ("0", "false")


def read(data: bytes) -> Document:
    """The document in a .pptx file; a slide is a page. Hidden slides and shapes are left out and counted.

    Raises:
        UnreadableDocument
    """
    package = Package(data)
    main = package.main("ppt/presentation.xml")
    deck = _Deck(package, _size(package.xml(main)))
    for number, path in enumerate(_slides(package, main), 1):
        deck.add(path, number)
    title, about = package.core()
    blocks = tuple(deck.blocks)
    named = (deck.title, title, first_heading(blocks))
    return Document(
        next((found for name in named if (found := sane_title(name))), ""), blocks, tuple(deck.notes()), about
    )


def _size(presentation: etree._Element) -> tuple[int, int]:
    found = presentation.find(f"{P}sldSz")
    if found is None or not (found.get("cx", "").isdecimal() and found.get("cy", "").isdecimal()):
        return _SIZE
    return int(found.get("cx", "")), int(found.get("cy", ""))


def _slides(package: Package, main: str) -> Iterator[str]:
    relations = package.relations(main)
    for slide in package.xml(main).iterfind(f"{P}sldIdLst/{P}sldId"):
        relation = relations.get(slide.get(f"{_R}id", ""))
        if relation is None or relation.path not in package:
            raise UnreadableDocument("it is damaged")
        yield relation.path


class _Deck:
    """Reads slides one after another."""

    def __init__(self, package: Package, size: tuple[int, int]) -> None:
        self._package, self._size = package, size
        self._words = slide_text.Words()
        self._slides = self._shapes = self._images = 0
        self.blocks: list[Block] = []
        self.title = ""

    def add(self, path: str, number: int) -> None:
        """The slide at `path`, unless it is hidden."""
        slide = self._package.xml(path)
        if slide.get("show") in _OFF:
            self._slides += 1
            return
        shapes = Shapes(slide, self._above(path), self._size)
        found = [block for shape in shapes for block in self._of(shape, path, number)]
        self._shapes += shapes.hidden
        if found and found[0].kind != "heading":
            found.insert(0, Block("heading", f"Slide {number}", 2, number))
        self.blocks += found
        notes = [
            block for one in self._package.related(path, "notesSlide") for block in self._notes(one, number)
        ]
        if notes:
            self.blocks += [Block("heading", "Notes", 3, number), *notes]

    def _above(self, path: str) -> Iterator[etree._Element]:
        for layout in self._package.related(path, "slideLayout"):
            for master in self._package.related(layout, "slideMaster"):
                yield self._package.xml(master)
            yield self._package.xml(layout)

    def notes(self) -> Iterator[Note]:
        """What was left out."""
        if self._slides:
            yield Note("hidden_parts", self._slides, f"{self._slides} slide{'s' if self._slides > 1 else ''}")
        if hidden := self._shapes + self._words.hidden:
            yield Note("hidden_text", hidden)
        if self._images:
            yield Note("images_skipped", self._images)

    def _of(self, shape: Shape, path: str, number: int) -> Iterator[Block]:
        element = shape.element
        body = element.find(f"{P}txBody")
        if body is not None and shape.holder in TITLES:
            yield from self._title(body, shape.holder, number)
        elif body is not None:
            yield from self._words.blocks(body, number, bulleted=shape.holder in _BULLETED)
        elif element.tag == f"{P}pic":
            self._images += 1
        elif element.tag == f"{P}graphicFrame":
            yield from self._frame(element, path, number)

    def _title(self, body: etree._Element, holder: str, number: int) -> Iterator[Block]:
        text = " ".join(filter(None, (self._words.paragraph(one) for one in body.iterfind(f"{A}p"))))
        if text:
            is_first = holder == "ctrTitle" and not self.title and number == 1
            self.title = self.title or text
            yield Block("heading", text, 1 if is_first else 2, number)

    def _frame(self, frame: etree._Element, path: str, number: int) -> Iterator[Block]:
        for table in frame.iter(f"{A}tbl"):
            yield from self._words.table(table, number)
        for name, id, read in ((_CHART, "id", slide_text.chart), (_DIAGRAM, "dm", slide_text.diagram)):
            if (found := frame.find(f".//{name}")) is not None:
                relation = self._package.relations(path).get(found.get(f"{_R}{id}", ""))
                if relation is not None and relation.path in self._package:
                    yield from read(self._package.xml(relation.path), number)

    def _notes(self, path: str, number: int) -> Iterator[Block]:
        for shape in Shapes(self._package.xml(path), (), (1 << 40, 1 << 40)):
            body = shape.element.find(f"{P}txBody")
            if shape.holder == "body" and body is not None:
                yield from self._words.blocks(body, number, bulleted=False)
