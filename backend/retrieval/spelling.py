"""How far two words are apart, in slips of the pen."""

from __future__ import annotations

from typing import Final

_MENDED_FROM: Final = 5
_TWICE_FROM: Final = 9


def allowed(term: str) -> int:
    """Edits within which a term is taken for a misspelling: none in a short word, two in a long one."""
    if not term.isalpha() or len(term) < _MENDED_FROM:
        return 0
    return 1 if len(term) < _TWICE_FROM else 2


def distance(a: str, b: str, most: int) -> int:
    """Letters put in, left out, replaced, or two neighbours exchanged; `most` + 1 for anything above `most`.

    Source: the optimal string alignment distance.
    """
    if abs(len(a) - len(b)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, before, row = before, row, [i]
        for j, y in enumerate(b, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y))
            if last and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
        if min(row) > most:
            return most + 1
    return min(row[-1], most + 1)
