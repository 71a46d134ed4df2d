"""A question as an index is asked: its words, each by the terms that may stand for it there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from backend.core.types import Language
from backend.retrieval import analysis
from backend.retrieval.spelling import allowed

_OTHER_WEIGHT: Final = 0.3
_NEAR_WEIGHT: Final = 0.7
_MOST_WORDS: Final = 64
_MOST_MENDED: Final = 8


class Lexicon(Protocol):
    """What an index knows of terms."""

    def holding(self, term: str) -> int:
        """How many passages hold it."""

    def nearest(self, term: str, distance: int) -> str | None:
        """The known term that a misspelt one most likely stands for, within so many edits."""


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a question.

    Attributes:
        terms: What may stand for it in a passage, with how much of it that is, in (0, 1]; all are known, or
            none is.
        holding: Passages that hold the commonest of them.
    """

    terms: Mapping[str, float]
    holding: int

    def held(self, by: frozenset[str]) -> float:
        """How much of the word a passage with these terms holds, in [0, 1]."""
        return max((weight for term, weight in self.terms.items() if term in by), default=0.0)


def asked(text: str, language: Language, here: Sequence[Language], lexicon: Lexicon) -> list[Word]:
    """The words of a question that are none of its language's stop words; each once.

    Terms that only the stemmer of another language of the documents makes count less, unless no document is
    in the question's: names cross languages, and the guess of the question's language may be wrong. A word
    that no passage holds is taken for a misspelling of one that is held. `here` are the documents' languages.
    """
    weights = {name: _OTHER_WEIGHT if language in here and name != language else 1.0 for name in here}
    found: dict[tuple[str, ...], Word] = {}
    mended = 0
    for terms in _words(text, language, weights):
        word = _known(terms, lexicon)
        if word.holding == 0 and mended < _MOST_MENDED:
            mended += 1
            word = _mended(terms, lexicon) or word
        found.setdefault(tuple(word.terms), word)
        if len(found) == _MOST_WORDS:
            break
    return list(found.values())


def _words(text: str, language: Language, weights: Mapping[Language, float]) -> Iterator[dict[str, float]]:
    own = analysis.analyser(language)
    for word in analysis.words(text):
        if stems := own.analyze(word):
            found = dict.fromkeys(stems, 1.0) if language in weights else {}
            for name, weight in weights.items():
                for term in analysis.analyser(name).analyze(word):
                    found.setdefault(term, weight)
            if found:
                yield found
    for name in analysis.names(language, text):
        yield {name: 1.0}
    for compound in analysis.compounds(text):
        for term in own.analyze(analysis.in_one(compound)):
            yield {term: 1.0}


def _known(terms: dict[str, float], lexicon: Lexicon) -> Word:
    holding = {term: lexicon.holding(term) for term in terms}
    kept = {term: weight for term, weight in terms.items() if holding[term]} or terms
    return Word(kept, max(holding.values()))


def _mended(terms: dict[str, float], lexicon: Lexicon) -> Word | None:
    """The word as it is most likely meant."""
    for term, weight in terms.items():
        if (distance := allowed(term)) and (near := lexicon.nearest(term, distance)):
            return Word({near: weight * _NEAR_WEIGHT}, lexicon.holding(near))
    return None
