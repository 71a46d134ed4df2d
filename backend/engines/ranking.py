"""What of the passages bears on a question: how likely each quote is to hold the answer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from backend.core.types import Language, Passage
from backend.engines.terms import coverage, rarity, stems
from backend.engines.units import Unit, units

_NOTHING: frozenset[str] = frozenset()
_SAME = 0.8
_AS_GOOD = 0.5


@dataclass(frozen=True, slots=True)
class Signs:
    """What is known of a quote, each in [0, 1].

    Attributes:
        covers: Share of the question, by rarity, whose words stand in the quote; of a list or a table, in its
            lead and its best part.
        before: What the quote before it in its passage adds to that ("He was born in ..." needs it).
        title: What the title and the headings add.
        rank: One over the rank of its passage.
        meaning: Similarity to the question; 0 where nobody can tell.
    """

    covers: float
    before: float
    title: float
    rank: float
    meaning: float = 0.0


@dataclass(frozen=True, slots=True)
class Weights:
    """A logistic regression over `Signs`.

    Attributes:
        thresholds: By the language of a quote: below this likelihood it does not bear on the question.
    """

    thresholds: Mapping[Language, float]
    bias: float
    covers: float
    before: float
    title: float
    rank: float
    meaning: float = 0.0

    def threshold(self, language: Language) -> float:
        """That of a language; of one that was not measured, the highest of those that were."""
        return self.thresholds.get(language, max(self.thresholds.values()))

    def likelihood(self, signs: Signs) -> float:
        """How likely a quote with these signs is to hold the answer, in [0, 1]."""
        z = (
            self.bias
            + self.covers * signs.covers
            + self.before * signs.before
            + self.title * signs.title
            + self.rank * signs.rank
            + self.meaning * signs.meaning
        )
        return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, z))))


@dataclass(frozen=True, slots=True)
class Quote:
    """What may be quoted: a unit, less the parts of it that do not bear on the question.

    Attributes:
        n: Number of its passage, from 1; `place`: its own in the passage, from 0.
        stems: Of its words.
    """

    unit: Unit
    n: int
    place: int
    language: Language
    stems: frozenset[str]
    signs: Signs

    @property
    def text(self) -> str:
        """As one line of plain text."""
        return self.unit.text


@dataclass(frozen=True, slots=True)
class Ranked:
    """A quote and how likely it is to hold the answer, in [0, 1]."""

    quote: Quote
    score: float


@dataclass(frozen=True, slots=True)
class _Stemmed:
    """A unit and the stems of its lead, of what stands above it, and of its parts."""

    unit: Unit
    lead: frozenset[str]
    above: frozenset[str]
    parts: tuple[frozenset[str], ...]

    @property
    def all(self) -> frozenset[str]:
        return self.lead.union(*self.parts)


def found(question: str, passages: Sequence[Passage]) -> list[Quote]:
    """Everything that may be quoted of the passages, with its signs."""
    groups = [[_stemmed(unit, p.language) for unit in units(p.body)] for p in passages]
    weight = rarity([one.all for group in groups for one in group])
    asked = {language: stems(question, language) for language in {p.language for p in passages}}
    result = []
    for n, (passage, group) in enumerate(zip(passages, groups, strict=True), 1):
        title = stems(" ".join((passage.title, *passage.headings)), passage.language)
        before = _NOTHING
        for place, one in enumerate(group):
            made, signs = _judged(one, asked[passage.language], before, title | one.above, weight)
            signs = replace(signs, rank=1.0 / n)
            result.append(Quote(made.unit, n, place, passage.language, made.all, signs))
            before = one.all
    return result


def _stemmed(unit: Unit, language: Language) -> _Stemmed:
    lead, above = stems(unit.lead, language), stems(unit.above, language)
    return _Stemmed(unit, lead, above, tuple(stems(part, language) for part in unit.parts))


def _judged(
    one: _Stemmed,
    asked: frozenset[str],
    before: frozenset[str],
    title: frozenset[str],
    weight: Mapping[str, float],
) -> tuple[_Stemmed, Signs]:
    """The unit less its needless parts, and its signs but the rank."""
    known = one.lead | title
    gains = [coverage(asked, known | part, weight) for part in one.parts]
    best = max(range(len(gains)), key=gains.__getitem__)
    made = one if one.unit.whole or len(gains) == 1 else _needed(one, gains, coverage(asked, known, weight))
    held = one.lead | one.parts[best] if one.unit.kind != "code" else one.all
    covers, more, titled = (coverage(asked, held | extra, weight) for extra in (_NOTHING, before, title))
    return made, Signs(covers, more - covers, titled - covers, 0.0)


def _needed(one: _Stemmed, gains: Sequence[float], bare: float) -> _Stemmed:
    """The parts that hold what is asked for; all of them if none holds more of it than what stands above."""
    least = bare + (max(gains) - bare) * _AS_GOOD
    kept = [i for i, gain in enumerate(gains) if gain >= least] if max(gains) > bare else range(len(gains))
    unit = replace(one.unit, parts=tuple(one.unit.parts[i] for i in kept))
    return replace(one, unit=unit, parts=tuple(one.parts[i] for i in kept))


def distinct(ranked: Iterable[Ranked]) -> list[Ranked]:
    """Of quotes that say the same, the first."""
    kept: list[Ranked] = []
    for one in ranked:
        if all(_overlap(one.quote.stems, other.quote.stems) < _SAME for other in kept):
            kept.append(one)
    return kept


def _overlap(a: frozenset[str], b: frozenset[str]) -> float:
    return len(a & b) / (len(a | b) or 1)
