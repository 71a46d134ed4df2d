"""Text to index terms, the same way for passages and for questions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final

from tantivy import Filter, TextAnalyzer, TextAnalyzerBuilder, Tokenizer

from backend.core.languages import SNOWBALL
from backend.core.types import Language
from backend.retrieval.words import STOP_WORDS

# Names the way of cutting, folding, stopping and stemming; an index made another way is another index.
VERSION: Final = "2"

_LONGEST: Final = 60
_WORD: Final = re.compile(r"[^\W_]+")
_COMPOUND: Final = re.compile(r"\b[^\W_]++(?:[-\u2010\u2011][^\W_]++)+")  # linear, whatever the text
_CAPITALS: Final = re.compile(r"\b[^\W\d_a-z]{2,}\b")
_SMALL: Final = re.compile(r"[^\W\d_A-Z]{2}")
_FEW_WORDS: Final = 2


@cache
def analyser(language: Language) -> TextAnalyzer:
    """Words of letters and digits, lower case, accents folded, without stop words, stemmed.

    Apostrophes of any shape cut words, so elisions (l', d', qu') fall to the stop list. Accents go before the
    stemmer: people leave them out when they type, and the stem must not depend on it.
    """
    own = STOP_WORDS.get(language)
    stopped = (
        (Filter.ascii_fold(), Filter.custom_stopword(list(own)))
        if own
        else (Filter.stopword(SNOWBALL[language]), Filter.ascii_fold())
    )
    filters = (
        Filter.remove_long(_LONGEST),
        Filter.lowercase(),
        *stopped,
        Filter.stemmer(SNOWBALL[language]),
    )
    builder = TextAnalyzerBuilder(Tokenizer.simple())
    for one in filters:
        builder = builder.filter(one)
    return builder.build()


def terms(language: Language, text: str) -> list[str]:
    """Terms of a text as it is indexed: stems, names, and compounds as one word too ("wifi" of "Wi-Fi")."""
    cut = analyser(language)
    joined = " ".join(map(in_one, compounds(text)))
    return [*cut.analyze(text), *names(language, text), *(cut.analyze(joined) if joined else ())]


def words(text: str) -> list[str]:
    """Words as they stand."""
    return _WORD.findall(text)


def compounds(text: str) -> list[str]:
    """Words joined by hyphens."""
    return _COMPOUND.findall(text)


def in_one(compound: str) -> str:
    """A compound without its hyphens."""
    return "".join(_WORD.findall(compound))


def names(language: Language, text: str) -> Iterator[str]:
    """Stop words in capitals where not all is: names, as in "who do I call at IT?"."""
    for line in text.splitlines():
        found = _CAPITALS.findall(line)
        if found and (_SMALL.search(line) or len(_WORD.findall(line)) <= _FEW_WORDS):
            yield from (word for word in found if not analyser(language).analyze(word))
