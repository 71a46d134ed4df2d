"""Rows of cells, from a sheet or a list, as blocks: tables with their head, single lines as paragraphs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from backend.ingest.base import CELL, Block
from backend.ingest.parse.text import squeeze

_NUMBER = re.compile(r"^[-+(]?[\d\s.,'’]*\d\)?\s*(?:%|€|\$|£|[A-Z]{3})?$|^\d{4}-\d{2}-\d{2}")
_YEAR = re.compile(r"^(?:1[89]|20|21)\d\d$")

Line = Sequence[str]


def blocks_of(lines: Iterable[Line]) -> list[Block]:
    """Blocks of the lines. A blank line ends a table, unless numbers in as many columns go on below it."""
    found: list[Block] = []
    for region in _regions(lines):
        for block in _region(region):
            if found and _goes_on(found[-1], block):
                found[-1] = replace(found[-1], text=f"{found[-1].text}\n{block.text}")
            else:
                found.append(block)
    return found


def _regions(lines: Iterable[Line]) -> Iterator[list[Line]]:
    region: list[Line] = []
    for line in lines:
        cells = [squeeze(cell) for cell in line]
        if any(cells):
            region.append(cells)
        elif region:
            yield region
            region = []
    if region:
        yield region


def _goes_on(table: Block, below: Block) -> bool:
    if table.kind != "table" or below.kind != "table" or below.head_lines:
        return False
    first, second = (block.text.split("\n", 1)[0] for block in (table, below))
    return first.count(CELL) == second.count(CELL)


def _region(lines: list[Line]) -> Iterator[Block]:
    """Single cells above and below are paragraphs; what is between them is a table."""
    wide = [n for n, line in enumerate(lines) if _filled(line) > 1]
    first, last = (wide[0], wide[-1]) if wide else (len(lines), len(lines))
    below = last + 1 + _short_rows(lines, first, last)
    yield from _paragraphs(lines[:first])
    if wide:
        yield _table(lines[first:below])
    yield from _paragraphs(lines[below:])


def _short_rows(lines: list[Line], first: int, last: int) -> int:
    """How many single cells below the last wide row are rows of the table: not words in its first column."""
    at = next(n for n, cell in enumerate(lines[first]) if cell) if last < len(lines) else 0
    below = lines[last + 1 :]
    return next((n for n, line in enumerate(below) if " " in "".join(line[: at + 1])), len(below))


def _filled(line: Line) -> int:
    return sum(map(bool, line))


def _paragraphs(lines: Iterable[Line]) -> Iterator[Block]:
    for line in lines:
        yield Block("paragraph", next(filter(None, line)))


def _table(lines: list[Line]) -> Block:
    """One row a line; columns at the edges that are empty all the way down are left out."""
    used = [n for line in lines for n, cell in enumerate(line) if cell]
    first, stop = min(used), max(used) + 1
    rows = [[*line[first:stop], *[""] * (stop - max(len(line), first))] for line in lines]
    return Block("table", "\n".join(CELL.join(row) for row in rows), head_lines=head_lines(rows))


def head_lines(rows: Sequence[Line]) -> int:
    """How many rows name the columns: the first if it holds no number but years; a second one below groups.

    Groups show as gaps or repeats in the first (one name over several columns).
    """
    if len(rows) < 2 or not _names(rows[0]):
        return 0
    grouped = (len(rows) > 2 and _filled(rows[0]) < len(rows[0])) or len(set(rows[0])) < len(rows[0])
    return 2 if grouped and len(rows) > 2 and _names(rows[1]) and not _names(rows[2]) else 1


def _names(line: Line) -> bool:
    return not any(_NUMBER.match(cell) and not _YEAR.match(cell) for cell in line if cell)
