"""Which sentences bear on a question: words in common, weighted by how rare they are here."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import Stemmer

from backend.core.types import Language

_WORD = re.compile(r"[^\W_]+", re.UNICODE)
_STEMMERS = {"fr": "french", "en": "english"}
_EMPTY_FR = """
    a à ai au aux avec avoir c ce ces cet cette ceux celle comme comment combien d dans de des depuis
    dont du elle elles en entre est et été être eu fait faut fut furent il ils j je l la laquelle le
    lequel les lesquels leur leurs lors m ma mais me mes moi mon n ne nos notre nous on ont ou où par
    pas peut peuvent plus pour pourquoi qu quand que quel quelle quelles quels qui quoi s sa sans se
    sera ses si son sont sous sur t ta te tes toi ton tu un une va vers vos votre vous y étaient était"""
_EMPTY_EN = """
    a about an and are as at be been being but by can could did do does for from had has have he her his
    how i if in into is it its long many me much my not of off on or our she should so some such than
    that the their them then there these they this those to us was we were what when where which while
    who whom whose why will with would you your s t"""
_EMPTY = {"fr": frozenset(_EMPTY_FR.split()), "en": frozenset(_EMPTY_EN.split())}


@lru_cache(maxsize=4)
def _stemmer(language: Language) -> Stemmer.Stemmer:
    return Stemmer.Stemmer(_STEMMERS[language], 20_000)


def fold(text: str) -> str:
    """`text` in lower case without accents."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in plain if not unicodedata.combining(c))


def stems(text: str, language: Language) -> list[str]:
    """The stems of the words of `text` that carry meaning, in order."""
    words = [word for word in _WORD.findall(text.casefold()) if word not in _EMPTY[language]]
    return [fold(stem) for stem in _stemmer(language).stemWords(words)]


def rarity(documents: Sequence[Sequence[str]]) -> dict[str, float]:
    """Inverse document frequency of each stem over `documents`, > 0."""
    count = Counter(stem for document in documents for stem in set(document))
    return {stem: math.log(1 + len(documents) / n) for stem, n in count.items()}


def coverage(question: Sequence[str], text: Sequence[str], weight: dict[str, float], unseen: float) -> float:
    """The share of the question's weight whose stems stand in `text`, in [0, 1]."""
    asked = set(question)
    total = sum(weight.get(stem, unseen) for stem in asked)
    held = set(text)
    return sum(weight.get(stem, unseen) for stem in asked if stem in held) / total if total else 0.0
