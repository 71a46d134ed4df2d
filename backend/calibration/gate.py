"""The no-answer gate of one embedder, from questions of which it is known what answers them.

Each question is judged twice by the passages found: as they are, and with every passage that answers it
taken out. The first are an example of some that bear on the question if what answers is among them. The gate
goes by the passage that scores best, and so does the fit: it is made again with those that the last one
liked best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backend.calibration.fit import Floats, auc, monotone
from backend.config import Retrieval
from backend.core.types import Language
from backend.retrieval.gate import ANY, Fit, Signs
from backend.retrieval.search import Found, ranked, signs

FEWEST = 30
"""Examples of either kind in a language, below which nothing is fitted for it."""
_FIRST = 6
_ROUNDS = 3
_NOTHING = Signs(0.0, 0.0, 0.0)
_USES = {"both": (1, 1, 1, 1), "dense": (1, 0, 0, 1), "words": (0, 1, 1, 0)}


@dataclass(frozen=True, slots=True)
class Example:
    """What is known of each of the first passages found, and whether one of them answers."""

    signs: tuple[Signs, ...]
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
        made.append(Example(tuple(signs(one, found) for one in first), answers=True))
    left = Found(
        *([h for h in side or () if h.passage.id not in relevant] for side in (found.dense, found.lexical))
    )
    others = tuple(signs(one, left) for one in ranked(left, settings)[:_FIRST])
    made.append(Example(others or (_NOTHING,), answers=False))
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
    return [max(map(fits[i % 2], example.signs)) for i, example in enumerate(some)]


def _fit(some: Sequence[Example], name: str) -> Fit:
    answers = np.array([example.answers for example in some], float)
    best = [example.signs[0] for example in some]
    for _ in range(_ROUNDS):
        fit = _fit_of(best, answers, name)
        best = [max(example.signs, key=fit) for example in some]
    return fit


def _fit_of(some: Sequence[Signs], answers: Floats, name: str) -> Fit:
    """In standard units, so that the ridge weighs on all signs alike: the cosines of some embedders crowd."""
    # Of those that do not answer: nobody is taken to bear on a question for want of others.
    leads = [s.lead for s, yes in zip(some, answers, strict=True) if s.lead is not None and not yes]
    usual = round(float(np.mean(leads)), 3) if leads else 0.0
    rows = [
        (s.cosine or 0, s.covers or 0, np.log1p(s.matched or 0), usual if s.lead is None else s.lead)
        for s in some
    ]
    x: Floats = np.array(rows, float) * np.array(_USES[name], float)
    middle, spread = x.mean(axis=0), x.std(axis=0)
    spread[spread == 0] = 1.0
    w = monotone((x - middle) / spread, answers)
    scaled = w[1:] / spread
    cosine, covers, matched, lead = (round(float(value), 2) for value in scaled)
    bias = round(float(w[0] - scaled @ middle), 2)
    return Fit(bias, cosine, covers, matched, lead, usual)


def by_language(some: Sequence[tuple[Language, Example]]) -> dict[Language, list[Example]]:
    """Examples of each language, and of all as `ANY`; ordered by whether they answer: halves are alike."""
    made: dict[Language, list[Example]] = {ANY: sorted((e for _, e in some), key=lambda one: one.answers)}
    for language, example in sorted(some, key=lambda one: one[1].answers):
        made.setdefault(language, []).append(example)
    return made
