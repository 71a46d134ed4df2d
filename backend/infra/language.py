"""Which language a text is in."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from eld import LanguageDetector

from backend.core.languages import SNOWBALL
from backend.core.types import Language

_ENOUGH_CHARS: Final = 2000
_WORD: Final = re.compile(r"[^\W\d_]+")
_MOSTLY: Final = 0.5

# Words that tell French from English. They decide between the two: a proper name in a short question misleads
# letter statistics ("Qui tue Cedric ?" looks English to them).
_FRENCH_WORDS: Final = """
le la les des du un une est sont et ou où que qui quoi quel quelle quels quelles quand comment pourquoi
combien il elle ils elles je tu nous vous mon ma mes ton son ses leur leurs au aux avec sans pour dans
sur ce cet cette ces pas ne peut faut être avoir fait qu c l d j n
"""
_ENGLISH_WORDS: Final = """
the of and is are was were what which who whom whose when where why how does did do has have had to in
for with from by at my your his her its their this that these those not can could should would it i you
he she we they be been
"""
_FRENCH: Final = frozenset(_FRENCH_WORDS.split())
_ENGLISH: Final = frozenset(_ENGLISH_WORDS.split())


@cache
def _detector() -> LanguageDetector:
    detector = LanguageDetector()
    detector.dynamic_lang_subset(list(SNOWBALL))
    return detector


def load() -> None:
    """Load the letter statistics now: a fifth of a second in which nothing else runs in the process."""
    _detector()


def detect(text: str, default: Language = "fr") -> Language:
    """The language of a text; `default` when the text is too short to tell.

    Only the first 2,000 characters are read; the same text always gives the same answer.
    """
    sample = " ".join(text[:_ENOUGH_CHARS].split())
    words = _WORD.findall(sample.lower())
    french, english = sum(w in _FRENCH for w in words), sum(w in _ENGLISH for w in words)
    by_words = "fr" if french > english else "en" if english > french else None
    if sum(map(len, words)) < 3:
        return by_words or default
    found = _detector().detect(sample)
    by_letters = found.language if found.language and found.is_reliable() else None
    if by_words and (by_letters in (None, "fr", "en") or max(french, english) >= _MOSTLY * len(words)):
        return by_words
    return by_letters or default
