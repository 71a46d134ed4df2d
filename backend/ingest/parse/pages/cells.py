"""Tables by the gaps in their lines: cells that stand below each other in lines that follow each other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pypdfium2 as pdfium
import pypdfium2.raw as raw

_BLANK = re.compile(r"\s+")
_LABEL = re.compile(r"^[\W\d_]{0,8}[a-z]?[\W\d_]{0,3}$")
_NUMBER = re.compile(r"^\W{0,3}\d[\d\s.,:/%]*\W{0,3}$")
_WIDE = 0.9
_ALIGNED_PT = 3.0


@dataclass(frozen=True, slots=True)
class Cell:
    """A part of a line, with its ends in points."""

    text: str
    left: float
    right: float


def cells_of(textpage: pdfium.PdfTextPage, shown: str, start: int) -> tuple[Cell, ...]:
    """The parts between the wide gaps of the line `shown`, whose first character is `start` of the page.

    None if there is no gap. A bullet or a number in front of a text is no cell.
    """
    cells: list[Cell] = []
    first, left = 0, _box(textpage, start).left
    for blank in _BLANK.finditer(shown):
        before, after = _box(textpage, start + blank.start() - 1), _box(textpage, start + blank.end())
        wide = after.left - before.right > _WIDE * abs(before.top - before.bottom)
        part = shown[first : blank.start()]
        if wide and any(map(str.isalnum, part)) and (cells or not _LABEL.match(part)):
            cells.append(Cell(part, left, before.right))
            first, left = blank.end(), after.left
    if not cells:
        return ()
    return (*cells, Cell(shown[first:], left, _box(textpage, start + len(shown) - 1).right))


def _box(textpage: pdfium.PdfTextPage, index: int) -> raw.FS_RECTF:
    box = raw.FS_RECTF()
    raw.FPDFText_GetLooseCharBox(textpage.raw, index, box)
    return box


def stand_below(upper: Sequence[Cell], lower: Sequence[Cell]) -> bool:
    """Whether each cell begins where the one above it does, or ends there if it is a number.

    The last words of justified lines end below each other, too; they seldom are numbers, and begin anywhere.
    """
    return len(upper) == len(lower) > 1 and all(map(_aligned, upper, lower))


def _aligned(above: Cell, below: Cell) -> bool:
    if abs(above.left - below.left) < _ALIGNED_PT:
        return True
    return abs(above.right - below.right) < _ALIGNED_PT and bool(_NUMBER.match(below.text))
