"""Several rankings made one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backend.core.types import Passage


@dataclass(frozen=True, slots=True)
class Ranking:
    """Ids of one index, best first, and how much its word counts."""

    ids: Sequence[str]
    weight: float = 1.0


def fused(rankings: Sequence[Ranking], *, k: float) -> list[str]:
    """Every id once, by the sum over rankings of weight / (k + rank), best first.

    Rank starts at 1. A small `k` trusts the heads of the rankings, a large one their agreement. Ids of
    equal sums keep the order in which the rankings name them. An id named twice in one ranking counts once.

    Source: Cormack, Clarke and Büttcher, "Reciprocal rank fusion outperforms Condorcet", SIGIR 2009.
    """
    sums: dict[str, float] = {}
    for ranking in rankings:
        for rank, id in enumerate(dict.fromkeys(ranking.ids), start=1):
            sums[id] = sums.get(id, 0.0) + ranking.weight / (k + rank)
    return sorted(sums, key=lambda id: -sums[id])


def spread(passages: Sequence[Passage], most: int) -> list[Passage]:
    """The same passages; those beyond the first `most` of a document go behind all others.

    A long document matches in many places, and would otherwise leave no room for the one that answers.
    """
    first: list[Passage] = []
    behind: list[Passage] = []
    seen: dict[str, int] = {}
    for passage in passages:
        seen[passage.document] = seen.get(passage.document, 0) + 1
        (first if seen[passage.document] <= most else behind).append(passage)
    return first + behind
