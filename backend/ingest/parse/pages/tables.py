"""Tables of a PDF, by liteparse, taken where they hold the words that we read at the same place.

liteparse finds cells better than rules of ours, and takes text columns for tables; so a table is believed if
it loses no words and its cells are short. It reads hidden text: pages that hide some are left out.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from liteparse import LiteParse

from backend.ingest.base import CELL
from backend.ingest.parse.pages.cells import stand_below
from backend.ingest.parse.pages.layout import Line
from backend.ingest.parse.pages.margins import LEADER
from backend.ingest.parse.text import clean, squeeze

_BATCH = 32
_FINDING_S = 15.0
"""Processor time for one document; pages after that keep their lines."""
_WORD = re.compile(r"\w+")
_MISSING_SHARE = 0.03
_LEAST_CELLS = 4
_LARGER = 1.12
_TALL_LINES, _TALL_SHARE = 6, 0.4
_STRANGE_SHARE, _MOST_PAIRS = 0.1, 100_000
_LONG_CELL, _SHORT_SHARE, _MEAN_CELL = 120, 0.9, 60


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells, and their place on the page in points from its foot.

    Attributes:
        ruled: Its cells touch each other: lines are drawn between them.
    """

    left: float
    bottom: float
    right: float
    top: float
    rows: tuple[tuple[str, ...], ...]
    ruled: bool

    def holds(self, line: Line) -> bool:
        """Whether most of the line lies inside."""
        inside = min(line.right, self.right) - max(line.left, self.left)
        middle = line.top - line.height / 2
        return self.bottom < middle < self.top and inside >= 0.5 * (line.right - line.left)


def found(data: bytes, pages: Sequence[int]) -> Iterator[tuple[int, Table]]:
    """Numbers of pages, and tables that liteparse sees on them."""
    began = time.process_time()
    for start in range(0, len(pages), _BATCH):
        if time.process_time() - began > _FINDING_S:
            return
        wanted = pages[start : start + _BATCH]
        yield from _seen(data, ",".join(map(str, wanted)))


def _seen(data: bytes, pages: str) -> Iterator[tuple[int, Table]]:
    finder = LiteParse(
        ocr_enabled=False,
        extract_blocks=True,
        output_format="json",
        target_pages=pages,
        quiet=True,
        num_workers=1,
    )
    try:
        result = finder.parse(data)
    except BaseException:  # noqa: BLE001  a panic in it is no Exception; a document is worth more than its tables
        return
    for page in result.pages:
        for block in page.blocks or []:
            if block.kind == "table" and block.bbox:
                yield page.page_num, _table(block, page.height)


def _table(block: Any, height: float) -> Table:
    box = block.bbox
    rows = [block.header, *block.rows] if block.header else block.rows
    cells = tuple(tuple(squeeze(clean(cell.text)) for cell in row) for row in rows or [])
    bottom = height - box.y - box.height
    return Table(box.x, bottom, box.x + box.width, height - box.y, cells, ruled=_is_ruled(rows or []))


def _is_ruled(rows: Iterable[Sequence[Any]]) -> bool:
    boxes = [[cell.bbox for cell in row if cell.bbox and cell.text.strip()] for row in rows]
    gaps = [after.x - box.x - box.width for row in boxes for box, after in pairwise(row)]
    return bool(gaps) and all(abs(gap) < 1 for gap in gaps)


def with_tables(lines: Sequence[Line], tables: Iterable[Table], body: float) -> list[Line]:
    """The lines of a page, with those of a believed table replaced by its rows.

    The lines of a table are drawn one after the other; those of text columns side by side are not. `body` is
    the height of the type of the document.
    """
    kept = list(lines)
    number = 0
    for number, table in enumerate(tables, 1):
        places = [place for place, line in enumerate(kept) if table.holds(line)]
        if not places or places[-1] - places[0] >= len(places):
            continue
        inside = kept[places[0] : places[-1] + 1]
        if not any(line.table for line in inside) and _is_believed(table, inside, body):
            kept[places[0] : places[-1] + 1] = _rows(table, inside[0], number)
    return _with_grids(kept, number)


def _with_grids(lines: Sequence[Line], number: int) -> list[Line]:
    """Lines whose cells stand below each other as rows of tables, numbered after `number`."""
    rows: list[Line] = []
    for line in lines:
        last = rows[-1] if rows else None
        if last and not line.table and line.page == last.page and stand_below(last.cells, line.cells):
            if not last.table:
                number += 1
                rows[-1] = _row(last, number)
            line = _row(line, number)
        rows.append(line)
    return rows


def _row(line: Line, number: int) -> Line:
    return replace(line, text=CELL.join(squeeze(clean(cell.text)) for cell in line.cells), table=number)


def _is_believed(table: Table, inside: Sequence[Line], body: float) -> bool:
    cells = [cell for row in table.rows for cell in row if cell]
    own, theirs = _words(line.text for line in inside), _words(cells)
    if len(cells) < _LEAST_CELLS or len(own - theirs) > _MISSING_SHARE * len(own):
        return False
    if len(theirs - own) > _MISSING_SHARE * len(theirs) or _is_furniture(inside):
        return False
    return table.ruled or _looks_like_cells(table, cells, inside, body)


def _is_furniture(inside: Sequence[Line]) -> bool:
    """Whether the lines stand in the margin or list the parts of the document with their pages."""
    return all(line.in_margin for line in inside) or any(LEADER.search(line.text) for line in inside)


def _looks_like_cells(table: Table, cells: Sequence[str], inside: Sequence[Line], body: float) -> bool:
    """What is asked of a table without lines: short cells, no headings, words in their order."""
    short = sum(len(cell) <= _LONG_CELL for cell in cells) >= _SHORT_SHARE * len(cells)
    if not short or sum(map(len, cells)) > _MEAN_CELL * len(cells):
        return False
    if any(line.height > _LARGER * body for line in inside) or _runs_in_columns(table, inside):
        return False
    return _keeps_order(table, inside)


def _runs_in_columns(table: Table, inside: Sequence[Line]) -> bool:
    """Whether the lines are drawn down one column and then down the next: text, unless the cells are tall."""
    jump = max((after.top - line.top for line, after in pairwise(inside)), default=0.0)
    return jump > max(_TALL_LINES * inside[0].height, _TALL_SHARE * (table.top - table.bottom))


def _keeps_order(table: Table, inside: Sequence[Line]) -> bool:
    """Whether nearly every line stands in one row, its words in order; lines of text do not."""
    if len(inside) * len(table.rows) > _MOST_PAIRS:
        return False
    rows = [_WORD.findall(" ".join(row).casefold()) for row in table.rows]
    lines = [_WORD.findall(line.text.casefold()) for line in inside]
    strange = sum(not any(_in_order(line, row) for row in rows) for line in lines)
    return strange <= _STRANGE_SHARE * len(lines)


def _in_order(words: Sequence[str], row: Iterable[str]) -> bool:
    rest = iter(row)
    return all(word in rest for word in words)


def _words(texts: Iterable[str]) -> frozenset[str]:
    return frozenset(word for text in texts for word in _WORD.findall(text.casefold()))


def _rows(table: Table, first: Line, number: int) -> list[Line]:
    """A line for each row, spread over the height of the table."""
    step = (table.top - table.bottom) / len(table.rows)
    return [
        replace(
            first,
            text=CELL.join(row),
            left=table.left,
            right=table.right,
            top=table.top - step * index,
            cells=(),
            table=number,
        )
        for index, row in enumerate(table.rows)
        if any(row)
    ]
