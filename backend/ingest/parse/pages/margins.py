"""What pages repeat, and what only lists them: running heads and feet, page numbers, tables of contents."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from backend.ingest.parse.pages.layout import Line

_EDGE = 2
_LEAST_PAGES = 3
_SHARE = 0.4
_DIGITS = re.compile(r"\d+")
_NUMBER = re.compile(
    r"(?i)^(?:page|p\.)?\s*[-–—]?\s*(?:\d{1,4}|[ivxl]{1,6})\s*[-–—]?(?:\s*(?:/|sur|of|de)\s*\d{1,4})?$"
)
LEADER = re.compile(r"(?:\.\s?){4,}[\s|]*(?:\d{1,4})?\s*\.?$")
_ENTRY = re.compile(r"^(?P<title>.*[^\W\d_].*?)[\s|.]*\s(?P<page>\d{1,4})$")
_LEAST_ENTRIES, _LONGEST_ENTRY = 5, 250
_KNOWN_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Inner:
    """Pages without their furniture.

    Attributes:
        heads: One copy of each running head or foot that holds words.
        removed: How many running heads and feet went.
        contents: How many pages held a table of contents.
    """

    pages: list[list[Line]]
    heads: tuple[Line, ...]
    removed: int
    contents: int


def without_furniture(pages: Sequence[Sequence[Line]]) -> Inner:
    """The pages without page numbers, lines that repeat at their edges, and tables of contents."""
    repeated = _repeated(pages)
    gone = {id(line) for group in repeated for line in group}
    inner = [[line for line in page if id(line) not in gone and not _is_number(line)] for page in pages]
    titles = Counter(_key(line.text) for page in inner for line in page)
    lists = [_contents(page, titles, len(pages)) for page in inner]
    heads = tuple(group[0] for group in repeated if not _NUMBER.match(group[0].text))
    return Inner(
        [[line for line in page if id(line) not in found] for page, found in zip(inner, lists, strict=True)],
        heads,
        sum(len(group) - 1 for group in repeated if not _NUMBER.match(group[0].text)),
        sum(map(bool, lists)),
    )


def _is_number(line: Line) -> bool:
    return line.in_margin and bool(_NUMBER.match(line.text))


def _edges(page: Sequence[Line]) -> list[Line]:
    """Those of the two highest and the two lowest lines that stand in the margin, without rows of tables."""
    ordered = sorted(page, key=lambda line: -line.top)
    return [
        line for line in [*ordered[:_EDGE], *ordered[_EDGE:][-_EDGE:]] if line.in_margin and not line.table
    ]


def _repeated(pages: Sequence[Sequence[Line]]) -> list[list[Line]]:
    """Lines of several pages that differ in nothing but the number of the page, in groups."""
    groups: dict[tuple[str, ...], dict[int, Line]] = defaultdict(dict)
    for page in pages:
        for line in _edges(page):
            for key in _keys(line):
                groups[key].setdefault(line.page, line)
    least = min(_LEAST_PAGES, max(2, sum(map(bool, pages))))
    taken: set[int] = set()
    found: list[list[Line]] = []
    for group in sorted(groups.values(), key=len, reverse=True):
        lines = [line for line in group.values() if id(line) not in taken]
        if len(lines) >= least:
            found.append(lines)
            taken.update(map(id, lines))
    return sorted(found, key=lambda group: group[0].page)


def _keys(line: Line) -> Iterable[tuple[str, ...]]:
    """What lines that repeat have in common: the text, or the text around a number that counts the pages."""
    text = line.text.casefold()
    yield (text,)
    for number in _DIGITS.finditer(text):
        if len(number.group()) <= 4:
            yield text[: number.start()], text[number.end() :], str(int(number.group()) - line.page)


def _contents(page: Sequence[Line], titles: Counter[str], count: int) -> frozenset[int]:
    """Lines, by identity, that list parts of the document with their pages."""
    dotted = [line for line in page if LEADER.search(line.text)]
    if len(dotted) > _SHARE * len(page):
        return frozenset(map(id, page))
    listed = [line for line in page if _entry(line)]
    elsewhere = titles - Counter(_key(line.text) for line in page)
    return frozenset(map(id, [*dotted, *(listed if _is_list(listed, elsewhere, count) else [])]))


def _entry(line: Line) -> re.Match[str] | None:
    """A title and a number of a page; a long line is neither, and would be slow to match."""
    short = len(line.text) <= _LONGEST_ENTRY and line.text[-1:].isdigit()
    return _ENTRY.match(line.text) if short else None


def _is_list(lines: Sequence[Line], elsewhere: Counter[str], count: int) -> bool:
    """Whether the lines end with numbers of pages, in order, and name lines that stand elsewhere."""
    entries = [found for line in lines if (found := _entry(line))]
    if len(entries) < _LEAST_ENTRIES:
        return False
    numbers = [int(entry["page"]) for entry in entries]
    if any(after < before for before, after in pairwise(numbers)) or numbers[-1] > 2 * count + 20:
        return False
    return sum(elsewhere[_key(entry["title"])] > 0 for entry in entries) >= _KNOWN_SHARE * len(entries)


def _key(text: str) -> str:
    """Letters of `text` without case."""
    return "".join(char for char in unicodedata.normalize("NFKD", text.casefold()) if char.isalpha())
