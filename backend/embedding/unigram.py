"""A tokenizer of the Unigram kind (SentencePiece's), for vocabularies of 250,000 pieces.

The library `tokenizers` takes a second and 250 MB to build one of that size, and every process that counts
tokens needs it; this one takes a quarter of a second and 55 MB. No piece has a blank but at its start, so
each word is cut by itself, and words come again and again.

Source: Kudo, "Subword Regularization", ACL 2018, section 3.2: the likeliest pieces, by Viterbi's method.
"""

from __future__ import annotations

import unicodedata
from array import array
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from backend.embedding.packed import Vocabulary

_BLANK: Final = "\u2581"
_UNKNOWN_BELOW: Final = 10.0
_REMEMBERED: Final = 8192
_LONGEST_REMEMBERED: Final = 32
_AT_ONCE: Final = 1024
"""Characters of one word that are cut together: what has no blanks for longer is no language."""


class UnigramTokens:
    """Counts and ids of texts; see `Tokens`.

    Args:
        max_tokens: Longer texts are cut there, special tokens included.
    """

    def __init__(self, vocabulary: Vocabulary, max_tokens: int) -> None:
        scores = array("d", vocabulary.scores)
        # Special tokens have no score. In a text their names are only words.
        self._ids = {piece: id for id, piece in enumerate(vocabulary.pieces) if scores[id] < 0}
        self._scores = scores
        self._longest = max(map(len, self._ids))
        self._unknown = vocabulary.unknown
        self._unknown_score = min(scores) - _UNKNOWN_BELOW
        self._ends = vocabulary.begin, vocabulary.end
        self._read_as = vocabulary.read_as
        self._max_tokens = max_tokens
        self._remembered = lru_cache(_REMEMBERED)(self._cut)

    def count(self, text: str) -> int:
        """Tokens of the whole text, without special tokens."""
        return sum(map(len, self._pieces(text)))

    def ids(self, text: str) -> NDArray[np.int64]:
        """Ids of one text with special tokens, int64[1, tokens], at most `max_tokens`."""
        most = self._max_tokens - len(self._ends)
        found = [id for word in self._pieces(text[: most * self._longest]) for id in word]
        return np.array([[self._ends[0], *found[:most], self._ends[1]]], np.int64)

    def _pieces(self, text: str) -> Iterable[tuple[int, ...]]:
        """Ids of the parts of a text, in order."""
        for word in unicodedata.normalize("NFC", text.translate(self._read_as)).split():
            if len(word) < _LONGEST_REMEMBERED:
                yield self._remembered(_BLANK + word)
            else:
                marked = _BLANK + word
                yield from (self._cut(marked[i : i + _AT_ONCE]) for i in range(0, len(marked), _AT_ONCE))

    def _cut(self, word: str) -> tuple[int, ...]:
        """The likeliest pieces of a word; neighbours that are unknown are one."""
        best = self._best(word)
        found: list[int] = []
        end = len(word)
        while end:
            start, id = best[end]
            if not (found and id == self._unknown == found[-1]):
                found.append(id)
            end = start
        return tuple(reversed(found))

    def _best(self, word: str) -> list[tuple[int, int]]:
        """For each place in a word, where the last piece before it begins, and which it is."""
        ids, scores, length = self._ids, self._scores, len(word)
        totals = [0.0] + [-1e300] * length
        last = [(0, self._unknown)] * (length + 1)
        for start in range(length):
            so_far = totals[start]
            if (total := so_far + self._unknown_score) > totals[start + 1]:
                totals[start + 1], last[start + 1] = total, (start, self._unknown)
            for end in range(start + 1, min(start + self._longest, length) + 1):
                id = ids.get(word[start:end])
                if id is not None and (total := so_far + scores[id]) > totals[end]:
                    totals[end], last[end] = total, (start, id)
        return last
