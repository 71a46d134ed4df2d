"""The cells of a table in their columns, also where some span several rows or columns."""

from __future__ import annotations

from collections.abc import Mapping

from backend.ingest.base import CELL

_MAX_COLUMNS = 100
_MAX_SPAN_ROWS = 1000


class Grid:
    """Cells as they come, rows as lines; a cell that spans rows is said in each, of columns in the first."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._cells: list[str] = []
        self._kinds: list[str] = []
        self._spans = (1, 1)
        self._below: dict[int, tuple[int, str]] = {}
        self._in_head = False
        self._heads: list[bool] = []
        self._named_rows = 0

    def begin_group(self, tag: str) -> None:
        """A group of rows begins: `thead` or another."""
        self._end_row()
        self._in_head = tag == "thead"

    def begin_row(self) -> None:
        """A row begins; one that was left open ends."""
        self._end_row()

    def begin_cell(self, tag: str, attributes: Mapping[str, str]) -> None:
        """A cell begins, with its spans."""
        self._kinds.append(tag)
        self._spans = (
            _span(attributes.get("rowspan"), _MAX_SPAN_ROWS),
            _span(attributes.get("colspan"), _MAX_COLUMNS),
        )

    def end_cell(self, text: str) -> None:
        """A cell ends."""
        self._fill_from_above()
        rows, columns = self._spans
        for number in range(min(columns, _MAX_COLUMNS - len(self._cells))):
            content = text if number == 0 else ""
            if rows > 1:
                self._below[len(self._cells)] = (rows - 1, content)
            self._cells.append(content)
        self._spans = (1, 1)

    def end(self) -> tuple[str, int]:
        """All rows that hold something, a line each, and how many of the first say what the others mean.

        Without marked heads that is the first row, unless the rows themselves begin with their names.
        """
        self._end_row()
        marked = next((n for n, head in enumerate(self._heads) if not head), len(self._heads))
        if not marked and 2 * self._named_rows <= len(self._lines):
            marked = 1
        return "\n".join(self._lines), min(marked, max(1, len(self._lines) - 1))

    def _fill_from_above(self) -> None:
        """The cells that a row above says of this row, up to the next one that it says itself."""
        while (column := len(self._cells)) in self._below:
            left, text = self._below.pop(column)
            if left > 1:
                self._below[column] = (left - 1, text)
            self._cells.append(text)

    def _end_row(self) -> None:
        if self._cells:
            self._fill_from_above()
        while self._cells and not self._cells[-1]:
            self._cells.pop()
        if self._cells:
            self._lines.append(CELL.join(self._cells))
            self._heads.append(self._in_head or set(self._kinds) == {"th"})
            self._named_rows += self._kinds[:1] == ["th"] and "td" in self._kinds
        self._cells, self._kinds = [], []


def _span(value: str | None, most: int) -> int:
    """How many rows or columns a cell says that it takes; 0 and nonsense mean one."""
    return min(max(1, int(value)), most) if value and value.strip().isdecimal() and len(value) < 6 else 1
