"""The weights of quoting, from questions whose answers are known word for word."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import astuple, dataclass, fields, replace

import numpy as np

from backend.calibration.fit import Floats, monotone
from backend.core.types import Language, Passage
from backend.embedding.base import Vectors
from backend.engines.extractive import COMPARED
from backend.engines.ranking import Signs, Weights, found

FEWEST = 50
"""Questions with an answer among the sentences considered, below which nothing is fitted."""
_MAY_BE_REFUSED = 0.05
Nearness = Callable[[str, Sequence[str]], Awaitable[Vectors]]


@dataclass(frozen=True, slots=True)
class Case:
    """A question's sentences, likeliest by words first: their signs, and whether each holds the answer."""

    language: Language
    signs: Floats
    holds: Floats


def holds(text: str, answer: str) -> bool:
    """Whether the answer stands in the text as whole words, whatever the case and the spaces."""
    plain, wanted = (" ".join(one.casefold().split()) for one in (text, answer))
    return re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", plain) is not None


async def case(
    question: str,
    language: Language,
    answer: str,
    passages: Sequence[Passage],
    words: Weights,
    near: Nearness,
) -> Case | None:
    """What one question teaches; None if no sentence that would be considered holds its answer."""
    some = sorted(found(question, passages), key=lambda one: -words.likelihood(one.signs))[:COMPARED]
    truth = [holds(one.text, answer) for one in some]
    if not any(truth):
        return None
    told = await near(question, [one.text for one in some])
    rows = [astuple(replace(one.signs, meaning=float(m))) for one, m in zip(some, told, strict=True)]
    return Case(language, np.array(rows, float), np.array(truth, float))


def fitted(cases: Sequence[Case], otherwise: Weights) -> Weights | None:
    """Weights of all signs, and thresholds below which one answerable question in twenty falls.

    None: there are too few questions; a language without enough has the thresholds of `otherwise`.
    """
    if len(cases) < FEWEST:
        return None
    w = monotone(np.concatenate([c.signs for c in cases]), np.concatenate([c.holds for c in cases]))
    names = ("bias", *(field.name for field in fields(Signs)))
    made = Weights(thresholds=otherwise.thresholds, **dict(zip(names, np.round(w, 2).tolist(), strict=True)))
    return replace(made, thresholds={name: _threshold(cases, name, made) for name in otherwise.thresholds})


def _threshold(cases: Sequence[Case], language: Language, made: Weights) -> float:
    best = [max(made.likelihood(Signs(*row)) for row in c.signs) for c in cases if c.language == language]
    if len(best) < FEWEST // 2:
        return made.thresholds[language]
    return round(float(np.quantile(best, _MAY_BE_REFUSED)), 3)
