"""Paragraphs, lists, tables, charts and diagrams of a slide, as blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lxml import etree

from backend.ingest.base import CELL, Block
from backend.ingest.parse.office.regions import head_lines
from backend.ingest.parse.office.slide_shapes import A
from backend.ingest.parse.text import clean, squeeze

_MATH = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_CHART = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
_DIAGRAM = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}"
_TINY = 100
_MOST_LEVELS = 9
_POINTS = 10_000


class Words:
    """Reads text bodies; counts the words that nobody sees."""

    def __init__(self) -> None:
        self.hidden = 0

    def paragraph(self, paragraph: etree._Element) -> str:
        """Its text, on one line."""
        return squeeze(clean("".join(self._pieces(paragraph))))

    def _pieces(self, paragraph: etree._Element) -> Iterator[str]:
        for run in paragraph.iter(f"{A}r", f"{A}fld", f"{A}br", f"{_MATH}t"):
            if run.tag == f"{A}br":
                yield " "
            elif run.tag == f"{_MATH}t":
                yield run.text or ""
            elif _is_unseen(run):
                self.hidden += bool("".join(run.itertext(f"{A}t")).strip())
            else:
                yield "".join(run.itertext(f"{A}t"))

    def blocks(self, body: etree._Element, page: int, *, bulleted: bool) -> Iterator[Block]:
        """Paragraphs and lists; `bulleted`: a paragraph is an item unless it says otherwise."""
        items: list[str] = []
        numbers = [0] * _MOST_LEVELS
        paragraphs = [(one, text) for one in body.iterfind(f"{A}p") if (text := self.paragraph(one))]
        for paragraph, text in paragraphs:
            bullet = _bullet(paragraph, numbers, bulleted=bulleted and len(paragraphs) > 1)
            if bullet:
                items.append(bullet + text)
                continue
            if items:
                yield Block("list", "\n".join(items), page=page)
                items = []
            yield Block("paragraph", text, page=page)
        if items:
            yield Block("list", "\n".join(items), page=page)

    def table(self, table: etree._Element, page: int) -> Iterator[Block]:
        """A table; a cell that spans others is said in each of them."""
        rows: list[list[str]] = []
        for row in table.iterfind(f"{A}tr"):
            cells: list[str] = []
            for n, cell in enumerate(row.iterfind(f"{A}tc")):
                text = squeeze(" ".join(self.paragraph(one) for one in cell.iter(f"{A}p")))
                if cell.get("vMerge") and rows and n < len(rows[-1]):
                    text = rows[-1][n]
                elif cell.get("hMerge") and cells:
                    text = cells[-1]
                cells.append(text)
            if any(cells):
                rows.append(cells)
        properties = table.find(f"{A}tblPr")
        told = properties is not None and properties.get("firstRow") in ("1", "true")
        yield from _grid(rows, page, head=max(1, head_lines(rows)) if told else head_lines(rows))


def chart(root: etree._Element, page: int) -> Iterator[Block]:
    """The numbers of a chart as a table: a row for each category, a column for each series."""
    series = list(root.iter(f"{_CHART}ser"))
    names = [" ".join(_values(one, "tx")) for one in series]
    categories = next((found for one in series if (found := _values(one, "cat") or _values(one, "xVal"))), [])
    columns = [_values(one, "val") or _values(one, "yVal") for one in series]
    title = root.find(f"{_CHART}chart/{_CHART}title")
    if title is not None and (said := squeeze(clean("".join(title.itertext(f"{A}t"))))):
        yield Block("paragraph", said, page=page)
    count = max([len(categories), *map(len, columns)], default=0)
    rows = [["", *names]]
    for n in range(count):
        rows.append([column[n] if n < len(column) else "" for column in (categories, *columns)])
    if count:
        yield from _grid(rows, page, head=1)


def diagram(root: etree._Element, page: int) -> Iterator[Block]:
    """The words of a diagram, one node a line."""
    nodes = (point.find(f"{_DIAGRAM}t") for point in root.iter(f"{_DIAGRAM}pt"))
    words = Words()
    lines = [
        squeeze(" ".join(words.paragraph(one) for one in node.iter(f"{A}p")))
        for node in nodes
        if node is not None
    ]
    if lines := [f"- {line}" for line in lines if line]:
        yield Block("list", "\n".join(lines), page=page)


def _grid(rows: Sequence[Sequence[str]], page: int, *, head: int) -> Iterator[Block]:
    if any(cell for row in rows for cell in row):
        yield Block("table", "\n".join(CELL.join(row) for row in rows), page=page, head_lines=head)


def _values(series: etree._Element, part: str) -> list[str]:
    """What was kept of one part of a series, each at its place."""
    holder = series.find(f"{_CHART}{part}")
    points = [] if holder is None else list(holder.iter(f"{_CHART}pt"))[:_POINTS]
    found = {}
    for n, point in enumerate(points):
        index = point.get("idx", "")
        place = int(index) if index.isdecimal() and len(index) < len(str(_POINTS)) else n
        found[place] = squeeze(clean(point.findtext(f"{_CHART}v", "")))
    return [found.get(n, "") for n in range(max(found, default=-1) + 1)]


def _bullet(paragraph: etree._Element, numbers: list[int], *, bulleted: bool) -> str:
    """What stands before an item; "" for a paragraph."""
    properties = paragraph.find(f"{A}pPr")
    level, numbered = 0, False
    if properties is not None:
        said = properties.get("lvl", "0")
        level = min(int(said) if said.isdecimal() else 0, _MOST_LEVELS - 1)
        if properties.find(f"{A}buNone") is not None:
            return ""
        numbered = properties.find(f"{A}buAutoNum") is not None
        bulleted = bulleted or numbered or properties.find(f"{A}buChar") is not None
    if not bulleted:
        return ""
    numbers[level + 1 :] = [0] * (_MOST_LEVELS - level - 1)
    numbers[level] = numbers[level] + 1 if numbered else 0
    return "  " * level + (f"{numbers[level]}. " if numbered else "- ")


def _is_unseen(run: etree._Element) -> bool:
    """Whether a run is without colour, wholly transparent, or too small to see."""
    properties = run.find(f"{A}rPr")
    if properties is None:
        return False
    size = properties.get("sz", "")
    clear = properties.find(f"{A}solidFill/*/{A}alpha")
    return (
        properties.find(f"{A}noFill") is not None
        or (clear is not None and clear.get("val") in ("0", "0%"))
        or (size.isdecimal() and int(size) <= _TINY)
    )
