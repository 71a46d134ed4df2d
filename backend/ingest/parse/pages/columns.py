"""Where the column ends in which a line stands: full lines and short ones are told by it."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

_SAME_LEFT_PT = 8.0
_SAME_RIGHT_PT = 2.5
_LEAST = 3
_SHARE = 0.2
_MOST = 0.9


class _Placed(Protocol):
    @property
    def left(self) -> float: ...
    @property
    def right(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Column:
    """The span of a column; `justified` where many of its lines end at the same place."""

    left: float
    right: float
    justified: bool

    def is_full(self, line: _Placed) -> bool:
        """Whether the line reaches the end."""
        return line.right >= self.right - _SAME_RIGHT_PT

    def is_short(self, line: _Placed) -> bool:
        """Whether the line leaves a fifth of the column or more."""
        return line.right < self.left + 0.8 * (self.right - self.left)


def columns_of(lines: Sequence[_Placed]) -> list[Column]:
    """The column of each line of a page."""
    groups = _by_left(lines)
    lefts = [group[0].left for group in groups]
    edges = [_edges(group) for group in groups]
    return [_column(line, lefts, edges) for line in lines]


def _by_left(lines: Sequence[_Placed]) -> list[list[_Placed]]:
    groups: list[list[_Placed]] = []
    for line in sorted(lines, key=lambda line: line.left):
        if groups and line.left - groups[-1][0].left <= _SAME_LEFT_PT:
            groups[-1].append(line)
        else:
            groups.append([line])
    return groups


def _edges(group: Sequence[_Placed]) -> list[tuple[float, bool]]:
    """Places at which lines of one left edge end, from the left, and whether they are justified there."""
    rights = sorted(line.right for line in group)
    if len(rights) < _LEAST:
        return []
    least = max(_LEAST, _SHARE * len(rights))
    found: list[tuple[float, bool]] = []
    start = 0
    while start < len(rights):
        end = bisect_right(rights, rights[start] + _SAME_RIGHT_PT)
        if end - start >= least:
            found.append((rights[end - 1], True))
            start = end
        else:
            start += 1
    return found or [(rights[math.ceil(_MOST * len(rights)) - 1], False)]


def _column(line: _Placed, lefts: Sequence[float], edges: Sequence[Sequence[tuple[float, bool]]]) -> Column:
    """The narrowest column that holds the line, of its own left edge or of one further left."""
    for index in range(bisect_right(lefts, line.left) - 1, -1, -1):
        for right, justified in edges[index]:
            if right >= line.right - _SAME_RIGHT_PT:
                return Column(min(lefts[index], line.left), right, justified)
    return Column(line.left, line.right, justified=False)
