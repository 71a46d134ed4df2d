"""Which sentences bear on a question: how likely each is to hold the answer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from backend.core.types import Language, Passage
from backend.engines.sentences import sentences
from backend.engines.terms import coverage, rarity, stems

_NOTHING: frozenset[str] = frozenset()
_SAME = 0.8


@dataclass(frozen=True, slots=True)
class Signs:
    """What is known of a sentence, each in [0, 1].

    Attributes:
        covers: Share of the question, by rarity, whose words stand in the sentence.
        before: What the sentence before it adds to that ("He was born in ..." needs it).
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
        thresholds: By the language of a sentence: below this likelihood it does not bear on the question.
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
        """How likely a sentence with these signs is to hold the answer, in [0, 1]."""
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
class Sentence:
    """A sentence that may be quoted.

    Attributes:
        n: Number of its passage, from 1; `place`: its own in the passage, from 0.
        stems: Of its words.
    """

    text: str
    n: int
    place: int
    language: Language
    stems: frozenset[str]
    signs: Signs


@dataclass(frozen=True, slots=True)
class Ranked:
    """A sentence and how likely it is to hold the answer, in [0, 1]."""

    sentence: Sentence
    score: float


def found(question: str, passages: Sequence[Passage]) -> list[Sentence]:
    """Every whole sentence of the passages, with its signs."""
    groups = [[(one, stems(one, p.language)) for one in sentences(p.text)] for p in passages]
    weight = rarity([held for group in groups for _, held in group])
    asked = {language: stems(question, language) for language in {p.language for p in passages}}
    result = []
    for n, (passage, group) in enumerate(zip(passages, groups, strict=True), 1):
        title = stems(" ".join((passage.title, *passage.headings)), passage.language)
        before = _NOTHING
        for place, (text, held) in enumerate(group):
            covers, more, titled = (
                coverage(asked[passage.language], held | extra, weight) for extra in (_NOTHING, before, title)
            )
            signs = Signs(covers, more - covers, titled - covers, 1.0 / n)
            result.append(Sentence(text, n, place, passage.language, held, signs))
            before = held
    return result


def distinct(ranked: Iterable[Ranked]) -> list[Ranked]:
    """Of sentences that say the same, the first."""
    kept: list[Ranked] = []
    for one in ranked:
        if all(_overlap(one.sentence.stems, other.sentence.stems) < _SAME for other in kept):
            kept.append(one)
    return kept


def _overlap(a: frozenset[str], b: frozenset[str]) -> float:
    return len(a & b) / (len(a | b) or 1)
