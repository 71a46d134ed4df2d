"""What the XML of a sheet says beside its values: what is hidden, what is merged, where it ends."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import IO

from lxml import etree

from backend.core.errors import UnreadableDocument

_CELL = re.compile(r"^\$?([A-Z]{1,3})\$?(\d{1,7})$")
_MAX_MERGED = 10_000
_MAX_COLUMNS = 16_384


@dataclass(frozen=True, slots=True)
class Area:
    """Cells that are merged into one; rows and columns from 1, both ends included."""

    top: int
    left: int
    bottom: int
    right: int


@dataclass(slots=True)
class Shape:
    """One sheet.

    Attributes:
        rows: Hidden ones, from 1; `columns` likewise.
        unvalued: Row and column of formulas whose value was never kept.
        last_row: Last row with a value; `last_column` likewise.
        painted: Cells may have colours that their own style does not tell.
    """

    rows: set[int] = field(default_factory=set)
    columns: set[int] = field(default_factory=set)
    unvalued: set[tuple[int, int]] = field(default_factory=set)
    merged: list[Area] = field(default_factory=list)
    last_row: int = 0
    last_column: int = 0
    painted: bool = False


def shape_of(source: IO[bytes]) -> Shape:
    """Read a sheet's XML once, without keeping it.

    Raises:
        UnreadableDocument
    """
    reader = _Reader()
    events = etree.iterparse(source, events=("start", "end"), resolve_entities=False, no_network=True)
    try:
        for event, element in events:
            name = etree.QName(element).localname
            if event == "start":
                reader.begin(name, element)
            else:
                reader.end(name, element)
                if name in ("row", "c", "mergeCell"):
                    _forget(element)
    except etree.XMLSyntaxError as exc:
        raise UnreadableDocument("it is damaged") from exc
    return reader.shape


class _Reader:
    def __init__(self) -> None:
        self.shape = Shape()
        self._row = self._column = 0
        self._formula = self._value = self._all_hidden = False

    def begin(self, name: str, element: etree._Element) -> None:
        """An element's attributes are known."""
        if name == "row":
            self._row = _number(element.get("r")) or self._row + 1
            self._column = 0
            if _is_on(element.get("hidden", "1" if self._all_hidden else "0")) or element.get("ht") == "0":
                self.shape.rows.add(self._row)
        elif name == "c":
            place = _place(element.get("r", ""))
            self._column = place[1] if place else self._column + 1
            self._formula = self._value = False
        elif name == "sheetFormatPr":
            self._all_hidden = _is_on(element.get("zeroHeight", "0"))
        elif name == "col" and (_is_on(element.get("hidden", "0")) or element.get("width") == "0"):
            last = min(_number(element.get("max")), _MAX_COLUMNS)
            self.shape.columns.update(range(_number(element.get("min")), last + 1))

    def end(self, name: str, element: etree._Element) -> None:
        """An element is whole."""
        if name == "f":
            self._formula = True
        elif name in ("v", "t") and element.text:
            self._value = True
        elif name == "c":
            self._end_cell()
        elif name == "mergeCell":
            self._merge(element.get("ref", ""))
        elif name in ("conditionalFormatting", "tablePart"):
            self.shape.painted = True

    def _end_cell(self) -> None:
        shape = self.shape
        if self._value:
            shape.last_row = max(shape.last_row, self._row)
            shape.last_column = max(shape.last_column, self._column)
        elif self._formula:
            shape.unvalued.add((self._row, self._column))

    def _merge(self, ref: str) -> None:
        first, _, last = ref.partition(":")
        a, b = _place(first), _place(last)
        if a and b and len(self.shape.merged) < _MAX_MERGED:
            self.shape.merged.append(Area(*a, *b))


def _forget(element: etree._Element) -> None:
    element.clear()
    while element.getprevious() is not None:
        del element.getparent()[0]


def _place(reference: str) -> tuple[int, int] | None:
    """Row and column of a cell's name."""
    match = _CELL.match(reference)
    if not match:
        return None
    column = 0
    for letter in match.group(1):
        column = column * 26 + ord(letter) - 64
    return int(match.group(2)), column


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() and len(text) <= len("1048576") else 0


def _is_on(text: str) -> bool:
    return text in ("1", "true", "on")
