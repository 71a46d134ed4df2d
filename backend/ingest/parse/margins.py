"""What every page repeats: running heads, page numbers, dotted tables of contents."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from backend.ingest.parse.layout import Line

_EDGE = 2
_SHARE = 0.4
_DIGITS = re.compile(r"\d+")
_NUMBER = re.compile(
    r"(?i)^(?:page|p\.)?\s*[-–—]?\s*(?:\d{1,4}|[ivxl]{1,6})\s*[-–—]?(?:\s*(?:/|sur|of|de)\s*\d{1,4})?$"
)
_LEADER = re.compile(r"(?:\.\s?){4,}[\s|]*(?:\d{1,4})?\s*\.?$")


def without_furniture(pages: Sequence[Sequence[Line]]) -> list[list[Line]]:
    """Pages without page numbers, lines that repeat at their edges, and tables of contents."""
    repeated = _repeated(pages)
    return [_inner(page, repeated) for page in pages]


def _mask(line: Line) -> str:
    return _DIGITS.sub("#", line.text).casefold()


def _edges(page: Sequence[Line]) -> list[Line]:
    """Those of the two highest and the two lowest lines that stand in the margin."""
    ordered = sorted(page, key=lambda line: -line.top)
    return [line for line in [*ordered[:_EDGE], *ordered[_EDGE:][-_EDGE:]] if line.in_margin]


def _repeated(pages: Sequence[Sequence[Line]]) -> frozenset[str]:
    filled = [page for page in pages if page]
    counts = Counter(mask for page in filled for mask in {_mask(line) for line in _edges(page)})
    least = max(2, _SHARE * len(filled))
    return frozenset(mask for mask, count in counts.items() if count >= least)


def _inner(page: Sequence[Line], repeated: frozenset[str]) -> list[Line]:
    if sum(bool(_LEADER.search(line.text)) for line in page) > _SHARE * len(page):
        return []
    edges = _edges(page)
    gone = {id(line) for line in edges if _mask(line) in repeated or _NUMBER.match(line.text)}
    return [line for line in page if id(line) not in gone and not _LEADER.search(line.text)]
