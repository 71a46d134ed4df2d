"""Words in common between a question and a text, weighted by how rare they are."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import Stemmer

from backend.core.languages import SNOWBALL
from backend.core.types import Language

_WORD = re.compile(r"[^\W_]+")
_JOINED = re.compile(r"(?<=[^\W\d_])-(?=[^\W\d_])")
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


def fold(text: str) -> str:
    """`text` in lower case without accents."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in plain if not unicodedata.combining(c))


_EMPTY = {"fr": frozenset(fold(_EMPTY_FR).split()), "en": frozenset(_EMPTY_EN.split())}


def stems(text: str, language: Language) -> frozenset[str]:
    """The stems of the words of `text` that carry meaning.

    Accents go first: people leave them out when they type, and a stem must not depend on it.
    """
    plain = fold(text)
    if "-" in plain:
        plain += " " + " ".join(_JOINED.sub("", one) for one in plain.split() if _JOINED.search(one))
    words = [word for word in _WORD.findall(plain) if word not in _EMPTY.get(language, ())]
    # A stemmer may not be shared between threads; making one takes a microsecond.
    return frozenset(Stemmer.Stemmer(SNOWBALL[language], 0).stemWords(words))


def rarity(texts: Sequence[frozenset[str]]) -> dict[str, float]:
    """Inverse document frequency of each stem over `texts`, > 0."""
    count = Counter(stem for text in texts for stem in text)
    return {stem: math.log(1 + len(texts) / n) for stem, n in count.items()}


def coverage(asked: frozenset[str], held: Iterable[str], weight: Mapping[str, float]) -> float:
    """The share of what is asked, by weight, that is held, in [0, 1]; unknown stems count as the rarest."""
    unknown = max(weight.values(), default=1.0)
    total = sum(weight.get(stem, unknown) for stem in asked)
    return sum(weight.get(stem, unknown) for stem in asked.intersection(held)) / total if total else 0.0
