"""What the XML of a sheet says beside its values: what is hidden, what is merged, where it ends."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import IO

from lxml import etree

from backend.core.errors import UnreadableDocument

_CELL = re.compile(r"^\$?([A-Z]{1,3})\$?(\d{1,7})$")
_TOLD = tuple(
    f"{{*}}{name}"
    for name in ("row", "col", "sheetFormatPr", "mergeCell", "conditionalFormatting", "tablePart")
)
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
        last_row: Last row with a value.
        painted: Cells may have colours that their own style does not tell.
    """

    rows: set[int] = field(default_factory=set)
    columns: set[int] = field(default_factory=set)
    unvalued: set[tuple[int, int]] = field(default_factory=set)
    merged: list[Area] = field(default_factory=list)
    last_row: int = 0
    painted: bool = False


def shape_of(source: IO[bytes]) -> Shape:
    """Read a sheet's XML once, without keeping it.

    Raises:
        UnreadableDocument
    """
    reader = _Reader()
    events = etree.iterparse(source, tag=_TOLD, resolve_entities=False, no_network=True)
    try:
        for _, element in events:
            reader.read(etree.QName(element).localname, element)
            _forget(element)
    except etree.XMLSyntaxError as exc:
        raise UnreadableDocument("it is damaged") from exc
    return reader.shape


class _Reader:
    def __init__(self) -> None:
        self.shape = Shape()
        self._row_number = 0
        self._all_hidden = False

    def read(self, name: str, element: etree._Element) -> None:
        """An element is whole."""
        if name == "row":
            self._row(element)
        elif name == "sheetFormatPr":
            self._all_hidden = _is_on(element.get("zeroHeight", "0"))
        elif name == "col" and (_is_on(element.get("hidden", "0")) or element.get("width") == "0"):
            last = min(_number(element.get("max")), _MAX_COLUMNS)
            self.shape.columns.update(range(_number(element.get("min")), last + 1))
        elif name == "mergeCell":
            self._merge(element.get("ref", ""))
        elif name in ("conditionalFormatting", "tablePart"):
            self.shape.painted = True

    def _row(self, row: etree._Element) -> None:
        number = self._row_number = _number(row.get("r")) or self._row_number + 1
        if _is_on(row.get("hidden", "1" if self._all_hidden else "0")) or row.get("ht") == "0":
            self.shape.rows.add(number)
        column = 0
        for cell in row:
            column = place[1] if (place := _place(cell.get("r", ""))) else column + 1
            if any(text.strip() for text in cell.itertext("{*}v", "{*}t")):
                self.shape.last_row = max(self.shape.last_row, number)
            elif cell.find("{*}f") is not None:
                self.shape.unvalued.add((number, column))

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
