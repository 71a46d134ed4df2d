"""Rows of tables: words far apart on one line are cells."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import pypdfium2 as pdfium
import pypdfium2.raw as raw

CELL = " | "
_BLANK = re.compile(r"\s+")
_LABEL = re.compile(r"^[\W\d_]{0,8}[a-z]?[\W\d_]{0,3}$")
_WIDE = 0.9


def with_cells(textpage: pdfium.PdfTextPage, shown: str, start: int) -> str:
    """The line `shown`, whose first character is number `start` of the page, with its cells set apart.

    A bullet or a number in front of a text is no cell.
    """
    parts: list[str] = []
    last = 0
    for blank in _BLANK.finditer(shown):
        if blank.start() == 0 or blank.end() == len(shown):
            continue
        left, right = _box(textpage, start + blank.start() - 1), _box(textpage, start + blank.end())
        wide = right.left - left.right > _WIDE * abs(left.top - left.bottom)
        wordy = any(map(str.isalnum, shown[last : blank.start()])) and any(
            map(str.isalnum, shown[blank.end() :])
        )
        if wide and wordy and not (not parts and _LABEL.match(shown[: blank.start()])):
            parts.append(shown[last : blank.start()])
            last = blank.end()
    return CELL.join([*parts, shown[last:]])


def _box(textpage: pdfium.PdfTextPage, index: int) -> raw.FS_RECTF:
    box = raw.FS_RECTF()
    raw.FPDFText_GetLooseCharBox(textpage.raw, index, box)
    return box


def is_grid(texts: Sequence[str]) -> bool:
    """Whether lines are rows of one table: two or more, with cells, in about the same number."""
    counts = [text.count(CELL) for text in texts]
    return len(texts) > 1 and min(counts) > 0 and all(abs(a - b) <= 1 for a, b in pairwise(counts))
