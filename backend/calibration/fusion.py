"""How the two rankings are weighed together, from questions of which it is known what answers them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

from backend.calibration.base import Fusion
from backend.config import Retrieval
from backend.core.types import Language
from backend.retrieval.search import Found, ranked

FEWEST: Final = 50
"""Questions with an answer among the candidates, below which nothing is fitted."""
_MOST: Final = 2000
_SEEN, _RANKED = 5, 10
_GRID: Final = tuple(
    Fusion(*point) for point in product((5.0, 10.0, 20.0, 60.0), (0.5, 1.0, 2.0, 3.0, 4.0), (1, 2, 3))
)


@dataclass(frozen=True, slots=True)
class Case:
    """A question's hits, and the ids of the passages any one of which answers it."""

    language: Language
    found: Found
    relevant: frozenset[str]


@dataclass(frozen=True, slots=True)
class Fitted:
    """What was chosen, and what it is worth on questions that it was not chosen on, beside what is in force.

    Attributes:
        worth, before: recall@5 + MRR@10, a mean over languages.
    """

    fusion: Fusion
    worth: float
    before: float


def fitted(cases: Sequence[Case], settings: Retrieval) -> Fitted | None:
    """The fusion that ranks best; None: there are too few questions."""
    some = [case for case in cases if case.relevant & _candidates(case.found)][:_MOST]
    if len(some) < FEWEST:
        return None
    settings = settings.model_copy(update={"limit": max(settings.limit, _RANKED)})
    places = {fusion: [_place(case, fusion.over(settings)) for case in some] for fusion in _GRID}
    held_out: list[int | None] = [None] * len(some)
    for half in (0, 1):
        others = list(range(1 - half, len(some), 2))
        chosen = _best(some, places, others)
        held_out[half::2] = places[chosen][half::2]
    before = [_place(case, settings) for case in some]
    everyone = list(range(len(some)))
    return Fitted(
        _best(some, places, everyone), _worth(some, held_out, everyone), _worth(some, before, everyone)
    )


def _candidates(found: Found) -> set[str]:
    return {hit.passage.id for side in (found.dense, found.lexical) for hit in side or ()}


def _place(case: Case, settings: Retrieval) -> int | None:
    """Rank, from 0, of the first passage that answers."""
    ids = [passage.id for passage in ranked(case.found, settings)[:_RANKED]]
    return next((rank for rank, id in enumerate(ids) if id in case.relevant), None)


def _best(cases: Sequence[Case], places: dict[Fusion, list[int | None]], which: Sequence[int]) -> Fusion:
    """The first of those worth most."""
    return max(places, key=lambda fusion: _worth(cases, places[fusion], which))


def _worth(cases: Sequence[Case], places: Sequence[int | None], which: Sequence[int]) -> float:
    by_language: dict[Language, list[float]] = {}
    for i in which:
        place = places[i]
        value = 0.0 if place is None else (place < _SEEN) + 1 / (place + 1)
        by_language.setdefault(cases[i].language, []).append(value)
    means = [sum(values) / len(values) for values in by_language.values()]
    return sum(means) / len(means)
