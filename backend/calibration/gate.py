"""The no-answer gate of one embedder, from questions of which it is known what answers them.

Each question is judged twice by the first passage found: as it is, and with every passage that answers it
taken out. The first is an example of one that bears on the question if what answers is among the first six.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backend.calibration.fit import Floats, auc, monotone
from backend.config import Retrieval
from backend.core.types import Language
from backend.retrieval.gate import Fit, Signs
from backend.retrieval.search import Found, ranked, signs

FEWEST = 30
"""Examples of either kind in a language, below which nothing is fitted for it."""
_FIRST = 6
_NOTHING = Signs(0.0, 0.0, 0.0)
_USES = {"both": (1, 1, 1), "dense": (1, 0, 0), "words": (0, 1, 1)}


@dataclass(frozen=True, slots=True)
class Example:
    """What is known of the first passage found, and whether it answers."""

    signs: Signs
    answers: bool


@dataclass(frozen=True, slots=True)
class Fitted:
    """The fits of one language, and how well the one for both indexes tells apart, on examples not fitted on.

    Attributes:
        auc: Chance that a passage that answers scores above one that does not; `auc_words`: by words alone.
        refused: Share of answerable questions below the threshold; `caught`: with the answer removed.
    """

    fits: dict[str, Fit]
    examples: tuple[int, int]
    auc: float
    auc_words: float
    refused: float
    caught: float


def examples(found: Found, relevant: frozenset[str], settings: Retrieval) -> list[Example]:
    """What one question teaches; `relevant`: ids of the passages that answer it, none if nothing does."""
    made = []
    first = ranked(found, settings)[:_FIRST]
    if first and relevant & {passage.id for passage in first}:
        made.append(Example(signs(first[0], found), answers=True))
    left = Found(
        *([h for h in side or () if h.passage.id not in relevant] for side in (found.dense, found.lexical))
    )
    others = ranked(left, settings)
    made.append(Example(signs(others[0], left) if others else _NOTHING, answers=False))
    return made


def fitted(some: Sequence[Example], threshold: float) -> Fitted | None:
    """The fits of one language; None: there are too few examples."""
    good = sum(example.answers for example in some)
    if min(good, len(some) - good) < FEWEST:
        return None
    scores = {name: _held_out(some, name) for name in ("both", "words")}
    yes, no = (
        [s for s, e in zip(scores["both"], some, strict=True) if e.answers is a] for a in (True, False)
    )
    words = [[s for s, e in zip(scores["words"], some, strict=True) if e.answers is a] for a in (True, False)]
    return Fitted(
        fits={name: _fit(some, name) for name in _USES},
        examples=(good, len(some) - good),
        auc=auc(yes, no),
        auc_words=auc(*words),
        refused=float(np.mean(np.array(yes) < threshold)),
        caught=float(np.mean(np.array(no) < threshold)),
    )


def _held_out(some: Sequence[Example], name: str) -> list[float]:
    """Each example's score by a fit of the other half."""
    fits = [_fit(some[1 - half :: 2], name) for half in (0, 1)]
    return [fits[i % 2](example.signs) for i, example in enumerate(some)]


def _fit(some: Sequence[Example], name: str) -> Fit:
    x: Floats = np.array(
        [[e.signs.cosine or 0, e.signs.covers or 0, np.log1p(e.signs.matched or 0)] for e in some], float
    )
    w = monotone(x * np.array(_USES[name], float), np.array([e.answers for e in some], float))
    return Fit(*(round(float(value), 2) for value in w))


def by_language(some: Sequence[tuple[Language, Example]]) -> dict[Language, list[Example]]:
    """Examples of each language, those that answer and those that do not in turn: halves are alike."""
    made: dict[Language, list[Example]] = {}
    for language, example in sorted(some, key=lambda one: one[1].answers):
        made.setdefault(language, []).append(example)
    return made
