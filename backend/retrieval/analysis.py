"""Text to index terms, the same way for passages and for questions."""

from __future__ import annotations

from typing import Final

from tantivy import Filter, TextAnalyzer, TextAnalyzerBuilder, Tokenizer

from backend.core.types import Language
from backend.retrieval.words import STOP_WORDS

# Names the way of cutting, folding, stopping and stemming; an index made another way is another index.
VERSION: Final = "1"

_STEMMERS: Final[dict[Language, str]] = {"fr": "french", "en": "english"}
_LONGEST: Final = 60


def analyser(language: Language) -> TextAnalyzer:
    """Words of letters and digits, lower case, accents folded, without stop words, stemmed.

    Apostrophes of any shape cut words, so elisions (l', d', qu') fall to the stop list. Accents go before the
    stemmer: people leave them out when they type, and the stem must not depend on it.
    """
    filters = (
        Filter.remove_long(_LONGEST),
        Filter.lowercase(),
        Filter.ascii_fold(),
        Filter.custom_stopword(list(STOP_WORDS[language])),
        Filter.stemmer(_STEMMERS[language]),
    )
    builder = TextAnalyzerBuilder(Tokenizer.simple())
    for one in filters:
        builder = builder.filter(one)
    return builder.build()
