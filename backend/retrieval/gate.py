"""Does a passage bear on the question? A probability from what the two indexes say of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from backend.core.types import Language

ANY: Final = "*"
"""In the place of a language: fitted on questions of all."""


@dataclass(frozen=True, slots=True)
class Signs:
    """What is known of one passage; None where an index did not answer.

    Attributes:
        cosine: Of question and passage; 0 when the dense index did not name the passage.
        covers: As in `Hit.covers`; 0 when the lexical index did not name the passage.
        matched: As in `Hit.matched`, likewise. A long question is never covered whole but matches often.
        lead: How far the cosine is above the mean of the candidates' behind the first few; an embedder whose
            cosines crowd tells more by it than by the cosine. None where there are too few.
    """

    cosine: float | None
    covers: float | None
    matched: float | None
    lead: float | None = None


@dataclass(frozen=True, slots=True)
class Fit:
    """A logistic regression of cosine, covers, ln(1 + matched) and lead.

    Attributes:
        usual_lead: Taken for a lead that is not known.
    """

    bias: float
    cosine: float
    covers: float
    matched: float
    lead: float = 0.0
    usual_lead: float = 0.0

    def __call__(self, signs: Signs) -> float:
        """In [0, 1]."""
        z = self.bias + self.cosine * (signs.cosine or 0.0)
        z += self.lead * (self.usual_lead if signs.lead is None else signs.lead)
        z += self.covers * (signs.covers or 0.0) + self.matched * math.log1p(signs.matched or 0.0)
        return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, z))))


@dataclass(frozen=True, slots=True)
class Gate:
    """The fits that hold for one embedder, by the question's language; `ANY` holds for all that have none.

    Attributes:
        words: Where the dense index did not answer, or nobody measured what its cosines mean; has `ANY`.
        dense: Where the lexical index did not answer; `ANY` may be missing, and so in `both`.
    """

    words: Mapping[Language, Fit]
    dense: Mapping[Language, Fit] = field(default_factory=dict)
    both: Mapping[Language, Fit] = field(default_factory=dict)

    def bearing(self, signs: Signs, language: Language) -> float | None:
        """How likely it is, in [0, 1], that the passage answers the question; None where nobody can tell."""
        if signs.covers is None:
            fit = _fit(self.dense, language)
            return fit(signs) if fit is not None else None
        both = _fit(self.both, language) if signs.cosine is not None else None
        fit = both or _fit(self.words, language)
        assert fit is not None
        return fit(signs)


def _fit(fits: Mapping[Language, Fit], language: Language) -> Fit | None:
    return fits.get(language) or fits.get(ANY)
