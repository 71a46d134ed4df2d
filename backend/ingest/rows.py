"""A table that must be cut: which spans of the text are its rows, and what stands above them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from backend.ingest.base import CELL, Block

_CAPTION_CHARS = 160
_NUMBERED = re.compile(r"(?i)^(?:table|tableau|tab\.)\s*[\dIVXA-C]")
_SENTENCE = re.compile(r"[.!?]$")

Count = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Table:
    """What a table says above its rows.

    Attributes:
        caption: Said outside the block, just before or after it; "" if nothing is.
        head_lines: See `Block`.
    """

    caption: str
    head_lines: int


@dataclass(frozen=True, slots=True)
class Row:
    """A span of the text that is best kept whole, and the lead of a passage that begins with it."""

    start: int
    end: int
    lead: str


def table_at(blocks: Sequence[Block], index: int) -> Table | None:
    """The table that block `index` is, with the short paragraphs beside it that name it or its units."""
    if blocks[index].kind != "table":
        return None
    above: list[str] = []
    for block in reversed(blocks[max(0, index - 2) : index]):
        if not _is_short(block) or (above and _SENTENCE.search(block.text)):
            break
        above.insert(0, block.text)
    below = blocks[index + 1 : index + 2]
    if below and _is_short(below[0]) and _NUMBERED.match(below[0].text):
        above.append(below[0].text)
    return Table("\n".join(above), blocks[index].head_lines)


def _is_short(block: Block) -> bool:
    return block.kind == "paragraph" and len(block.text) <= _CAPTION_CHARS and "\n" not in block.text


def rows(text: str, start: int, end: int, table: Table, *, target: int, count: Count) -> Iterator[Row]:
    """The rows of the table at `text[start:end]`; the first with the head.

    A row that does not fit into `target` tokens with its lead is cut between cells; each part is led by the
    names of its own columns and by the row's first cell.
    """
    lines = list(_lines(text, start, end))
    head, body = lines[: table.head_lines], lines[table.head_lines :]
    names = [text[a:b] for a, b in head]
    lead = "\n".join(line for line in (table.caption, *names) if line)
    if head:
        stop = body[0][1] if body and count(text[head[0][0] : body[0][1]]) <= target else head[-1][1]
        body = body[1:] if body and stop == body[0][1] else body
        yield Row(head[0][0], stop, table.caption)
    room = target - count(lead)
    for first, last in body:
        if count(text[first:last]) < room:
            yield Row(first, last, lead)
        else:
            yield from _cut(text, first, last, table.caption, names, target, count)


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    for line in text[start:end].split("\n"):
        if line.strip(" |"):
            yield start, start + len(line)
        start += len(line) + 1


def _cut(
    text: str, start: int, end: int, caption: str, names: Sequence[str], target: int, count: Count
) -> Iterator[Row]:
    """Neighbouring cells of one row, as many as fit below the names of their columns."""
    cells = list(_cells(text, start, end))
    columns = names[-1].split(CELL) if names else []
    key = f"{columns[0]}: {text[slice(*cells[0])]}" if columns else text[slice(*cells[0])]

    def lead(first: int, last: int) -> str:
        return "\n".join(
            part for part in (caption, key if first else "", CELL.join(columns[first:last])) if part
        )

    first = 0
    for n in range(1, len(cells) + 1):
        whole = text[cells[first][0] : cells[min(n, len(cells) - 1)][1]]
        if n == len(cells) or count(lead(first, n + 1)) + count(whole) > target:
            yield Row(cells[first][0], cells[n - 1][1], lead(first, n))
            first = n


def _cells(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    for cell in text[start:end].split(CELL):
        yield start, start + len(cell)
        start += len(cell) + len(CELL)
