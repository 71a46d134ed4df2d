"""Does a passage bear on the question? A probability from what the two indexes say of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

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


@dataclass(frozen=True, slots=True)
class Gate:
    """The fits that hold for one embedder, by the question's language.

    Attributes:
        words: Where the dense index did not answer, or nobody measured what its cosines mean.
        dense: Where the lexical index did not answer; a language may be missing, and so in `both`.
    """

    words: Mapping[Language, Fit]
    dense: Mapping[Language, Fit] = field(default_factory=dict)
    both: Mapping[Language, Fit] = field(default_factory=dict)

    def bearing(self, signs: Signs, language: Language) -> float | None:
        """How likely it is, in [0, 1], that the passage answers the question; None where nobody can tell."""
        if signs.covers is None:
            fit = self.dense.get(language)
            return fit(signs) if fit is not None else None
        if signs.cosine is None:
            return self.words[language](signs)
        return self.both.get(language, self.words[language])(signs)
