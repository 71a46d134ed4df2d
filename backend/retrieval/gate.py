"""Does a passage bear on the question? A probability from what the two indexes say of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from backend.core.types import Language


@dataclass(frozen=True, slots=True)
class Signs:
    """What is known of one passage; None where an index did not answer.

    Attributes:
        cosine: Of question and passage; 0 when the dense index did not name the passage.
        covers: As in `Hit.covers`; 0 when the lexical index did not name the passage.
        matched: As in `Hit.matched`, likewise. A long question is never covered whole but matches often.
    """

    cosine: float | None
    covers: float | None
    matched: float | None


@dataclass(frozen=True, slots=True)
class Fit:
    """A logistic regression of cosine, covers and ln(1 + matched)."""

    bias: float
    cosine: float
    covers: float
    matched: float

    def __call__(self, signs: Signs) -> float:
        """In [0, 1]."""
        z = self.bias + self.cosine * (signs.cosine or 0.0)
        z += self.covers * (signs.covers or 0.0) + self.matched * math.log1p(signs.matched or 0.0)
        return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, z))))


# Printed by `python -m loadtests.bench_retrieval --data DIR --fit`, for all-MiniLM-L6-v2.
# Its cosines mean less in French, a language it was not trained on.
BOTH: Final[dict[Language, Fit]] = {"fr": Fit(-3.67, 0.96, 2.81, 1.61), "en": Fit(-7.59, 3.99, 8.1, 1.58)}
DENSE_ONLY: Final[dict[Language, Fit]] = {"fr": Fit(-1.57, 2.84, 0.0, 0.0), "en": Fit(-4.15, 8.84, 0.0, 0.0)}
LEXICAL_ONLY: Final[dict[Language, Fit]] = {
    "fr": Fit(-3.47, 0.0, 3.03, 1.8),
    "en": Fit(-6.83, 0.0, 8.73, 2.37),
}


def bearing(signs: Signs, language: Language) -> float:
    """How likely it is, in [0, 1], that the passage answers the question in `language`."""
    if signs.covers is None:
        return DENSE_ONLY[language](signs)
    if signs.cosine is None:
        return LEXICAL_ONLY[language](signs)
    return BOTH[language](signs)
