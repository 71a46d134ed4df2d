"""Cut a document at its structure into passages of the embedder's size.

Sections first, then blocks, then sentences (of a table: rows), then words. Small neighbours within a section
share a passage, and so do small subsections (level 3 and below) of one section.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import pairwise

from backend.ingest.base import SEPARATOR, Block, Chunk, Parsed
from backend.ingest.rows import Table, rows, table_at

_SENTENCE_END = re.compile(r"(?<=[.!?…;:])[\"'”’»)\]]*(\s+)(?=[^\s\da-zà-ÿ])|(\s*\n\s*)")
_MERGE_BELOW = 3
_CHARS_PER_TOKEN = 2
_LEADS_KEPT = 64
"""Neighbouring rows share one."""


@dataclass(frozen=True, slots=True)
class _Heading:
    level: int
    text: str
    start: int


@dataclass(frozen=True, slots=True)
class _Unit:
    """A span that is never cut; `tokens` without the blanks around it.

    Attributes:
        lead: See `Chunk.lead`, of a passage that begins here.
        lead_tokens: Its size, with the line break below it.
    """

    start: int
    end: int
    tokens: int
    page: int | None
    lead: str = ""
    lead_tokens: int = 0


@dataclass(frozen=True, slots=True)
class _Span:
    """Where a block stands."""

    start: int
    end: int
    page: int | None
    table: Table | None = None


@dataclass(slots=True)
class _Section:
    """The blocks below one heading, with the headings above them."""

    path: tuple[_Heading, ...]
    spans: list[_Span] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Piece:
    """Units that make one passage; `whole` if they are all of their section."""

    path: tuple[_Heading, ...]
    units: tuple[_Unit, ...]
    tokens: int
    whole: bool


def chunk(
    parsed: Parsed,
    *,
    count_tokens: Callable[[str], int],
    target_tokens: int,
    overlap_tokens: int,
    max_tokens: int,
) -> list[Chunk]:
    """Passages of `parsed` in order, together all its text but headings, which each passage carries along.

    Args:
        parsed: The document.
        count_tokens: Size of a text for the embedder, without special tokens.
        target_tokens: Size aimed at.
        overlap_tokens: Repeated from the passage before when a section is cut, in whole sentences.
        max_tokens: What the embedder sees of title, headings and text together. If title and headings alone
            take more than half, the text still gets half.
    """
    cutter = _Cutter(parsed, count_tokens, target_tokens, overlap_tokens, max_tokens)
    pieces = [piece for section in _sections(parsed.blocks) for piece in cutter.pieces(section)]
    return [cutter.chunk(piece) for piece in cutter.merged(pieces)]


def _sections(blocks: Sequence[Block]) -> list[_Section]:
    """Blocks grouped by the headings above them; a heading with nothing below it is a section's text."""
    sections = [_Section(())]
    start = 0
    for index, block in enumerate(blocks):
        end = start + len(block.text)
        if block.kind == "heading":
            above = tuple(h for h in sections[-1].path if h.level < block.level)
            following = blocks[index + 1] if index + 1 < len(blocks) else None
            bare = following is None or (following.kind == "heading" and following.level <= block.level)
            sections.append(_Section(above if bare else (*above, _Heading(block.level, block.text, start))))
            if bare:
                sections[-1].spans.append(_Span(start, end, block.page))
        else:
            sections[-1].spans.append(_Span(start, end, block.page, table_at(blocks, index)))
        start = end + len(SEPARATOR)
    return [section for section in sections if section.spans]


class _Cutter:
    """Cuts the sections of one document."""

    def __init__(
        self, parsed: Parsed, count: Callable[[str], int], target: int, overlap: int, largest: int
    ) -> None:
        self._text, self._title = parsed.text, parsed.title
        self._count, self._target, self._overlap, self._largest = count, target, overlap, largest
        self._blanks: dict[str, int] = {}
        self._count_lead = lru_cache(_LEADS_KEPT)(count)

    def pieces(self, section: _Section) -> Iterator[_Piece]:
        """The section's passages, before merging."""
        limit = self._limit(section.path)
        target = min(self._target, limit)
        units = [unit for span in section.spans for unit in self._units(span, target)]
        groups = list(self._groups(units, target, limit))
        for group in groups:
            yield _Piece(section.path, tuple(group), self._size(group), len(groups) == 1)

    def merged(self, pieces: Sequence[_Piece]) -> list[_Piece]:
        """Small neighbouring subsections put together under the heading they share."""
        kept: list[_Piece] = []
        for piece in pieces:
            before = kept[-2].units[-1].end if len(kept) > 1 else 0
            if kept and (joined := self._joined(kept[-1], piece)) and joined.units[0].start >= before:
                kept[-1] = joined
            else:
                kept.append(piece)
        return kept

    def chunk(self, piece: _Piece) -> Chunk:
        """The passage itself."""
        start, end = piece.units[0].start, piece.units[-1].end
        headings = tuple(" ".join(heading.text.split()) for heading in piece.path)
        first = piece.units[0]
        return Chunk(self._text[start:end], headings, first.page, start, end, first.lead)

    def _limit(self, path: tuple[_Heading, ...]) -> int:
        """Most tokens of text below these headings."""
        names = dict.fromkeys((self._title, *(heading.text for heading in path)))
        head = self._count(" > ".join(name for name in names if name)) + self._blank("\n")
        return max(self._largest - head, self._largest // 2, 1)

    def _blank(self, blank: str) -> int:
        if blank not in self._blanks:
            self._blanks[blank] = self._count(blank)
        return self._blanks[blank]

    def _size(self, units: Sequence[_Unit]) -> int:
        gaps = (self._text[a.end : b.start] for a, b in pairwise(units))
        return units[0].lead_tokens + sum(unit.tokens for unit in units) + sum(map(self._blank, gaps))

    def _units(self, span: _Span, target: int) -> Iterator[_Unit]:
        """The block if it fits, else its sentences or rows, else parts of them."""
        start, end = self._trimmed(span.start, span.end)
        if span.table is not None:
            yield from self._table(start, end, span.page, span.table, target)
        elif end - start <= target * 8 and (tokens := self._count(self._text[start:end])) <= target:
            yield _Unit(start, end, tokens, span.page)
        else:
            for first, last in self._sentences(start, end):
                yield from self._parts(first, last, span.page, target)

    def _table(self, start: int, end: int, page: int | None, table: Table, target: int) -> Iterator[_Unit]:
        if end - start <= target * 8 and (tokens := self._count(self._text[start:end])) <= target:
            yield _Unit(start, end, tokens, page, *self._lead(table.caption, target - tokens))
            return
        for row in rows(self._text, start, end, table, target=target, count=self._count):
            tokens = self._count(self._text[row.start : row.end])
            lead, lead_tokens = self._lead(row.lead, max(target - tokens, target // 2))
            for part in self._parts(row.start, row.end, page, max(target - lead_tokens, 1)):
                yield replace(part, lead=lead, lead_tokens=lead_tokens)

    def _lead(self, lead: str, most: int) -> tuple[str, int]:
        """As much of its beginning as fits, and its size."""
        while lead and (tokens := self._count_lead(lead) + self._blank("\n")) > most:
            lead = lead[: len(lead) * 3 // 4].rpartition(" ")[0]
        return (lead, tokens) if lead else ("", 0)

    def _trimmed(self, start: int, end: int) -> tuple[int, int]:
        span = self._text[start:end]
        return start + len(span) - len(span.lstrip()), end - (len(span) - len(span.rstrip()))

    def _sentences(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        for match in _SENTENCE_END.finditer(self._text, start, end):
            cut, resume = match.span(1) if match.group(1) is not None else match.span(2)
            if self._text[start:cut].strip():
                yield start, cut
                start = resume
        if self._text[start:end].strip():
            yield start, end

    def _parts(self, start: int, end: int, page: int | None, target: int) -> Iterator[_Unit]:
        """The sentence if it fits, else windows of whole words, else halves of a word."""
        start, end = self._trimmed(start, end)
        if end - start <= target * 8:
            tokens = self._count(self._text[start:end])
            if tokens <= target or end - start == 1:
                yield _Unit(start, end, tokens, page)
                return
        for first, last in self._windows(start, end, max(target * _CHARS_PER_TOKEN, 1)):
            yield from self._parts(first, last, page, target)

    def _windows(self, start: int, end: int, width: int) -> Iterator[tuple[int, int]]:
        width = min(width, (end - start + 1) // 2)
        while start < end:
            stop = min(start + width, end)
            if stop < end and (space := max(self._text.rfind(mark, start, stop) for mark in " \n\t")) > start:
                stop = space
            if self._text[start:stop].strip():
                yield start, start + len(self._text[start:stop].rstrip())
            start = stop
            while start < end and self._text[start].isspace():
                start += 1

    def _groups(self, units: Sequence[_Unit], target: int, limit: int) -> Iterator[list[_Unit]]:
        """Units packed up to `target`; up to `limit` where else a small rest would stand alone."""
        group: list[_Unit] = []
        size = 0
        for index, unit in enumerate(units):
            gap = self._blank(self._text[group[-1].end : unit.start]) if group else unit.lead_tokens
            more = unit.tokens + gap
            last = index == len(units) - 1
            small = size < target // 3 or (last and unit.tokens < target // 4)
            if group and size + more > (limit if small else target):
                yield group
                group = self._carried(group, unit, target)
                size = self._size([*group, unit])
            else:
                size += more
            group.append(unit)
        if group:
            yield group

    def _carried(self, group: Sequence[_Unit], unit: _Unit, target: int) -> list[_Unit]:
        """The end of the last passage that is repeated in front of `unit`; a lead says more than it does."""
        for index in range(1, 0 if unit.lead else len(group)):
            tail = group[index:]
            if self._size(tail) <= self._overlap and self._size([*tail, unit]) <= target:
                return list(tail)
        return []

    def _joined(self, a: _Piece, b: _Piece) -> _Piece | None:
        """Both as one passage if they are small, whole, and only headings of level 3 and below part them."""
        if not (a.whole and b.whole) or max(a.tokens, b.tokens) > self._target // 2 or not b.path:
            return None
        shared = tuple(x for x, y in zip(a.path, b.path, strict=False) if x is y)
        apart = a.path[len(shared) :] + b.path[len(shared) :]
        if not apart or any(heading.level < _MERGE_BELOW for heading in apart):
            return None
        units = (*self._heading_units(a, shared), *a.units, *self._heading_units(b, shared), *b.units)
        size = self._size(units)
        if size > min(self._target, self._limit(shared)):
            return None
        return _Piece(shared, units, size, True)

    def _heading_units(self, piece: _Piece, shared: tuple[_Heading, ...]) -> Iterator[_Unit]:
        """Headings that the joined passage says in its text, since its path no longer does."""
        for heading in piece.path[len(shared) :]:
            end = heading.start + len(heading.text)
            yield _Unit(heading.start, end, self._count(heading.text), piece.units[0].page)
