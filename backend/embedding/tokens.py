"""Texts to token ids, and token counts, with the model's own tokenizer."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from backend.core.errors import EmbedderUnavailable
from backend.embedding.packed import PackedModel
from backend.embedding.unigram import UnigramTokens

Ids = NDArray[np.int64]


class Counter(Protocol):
    """A model's tokenizer; never changed, and so one for all who count or embed."""

    def count(self, text: str) -> int:
        """Tokens of the whole text, without special tokens."""

    def ids(self, text: str) -> Ids:
        """Ids of one text with special tokens, int64[1, tokens], at most as many as the model sees."""


@lru_cache(maxsize=2)
def tokens_of(source: Path, max_tokens: int) -> Counter:
    """The tokenizer of a model, from its folder or its one file.

    Raises:
        EmbedderUnavailable: The file cannot be read.
    """
    if source.is_dir():
        return Tokens(source, max_tokens)
    try:
        return UnigramTokens(PackedModel(source).vocabulary(), max_tokens)
    except (OSError, ValueError) as exc:
        raise EmbedderUnavailable(f"the embedding model's file {source.name} cannot be read") from exc


class Tokens:
    """The tokenizer in a model's folder.

    Args:
        folder: Holds `tokenizer.json`.
        max_tokens: Longer texts are cut there, special tokens included.
    """

    def __init__(self, folder: Path, max_tokens: int) -> None:
        self._tokenizer = _read(folder)
        self._max_tokens = max_tokens

    def count(self, text: str) -> int:
        """Tokens of the whole text, without special tokens."""
        return len(self._tokenizer.encode(plain(text), add_special_tokens=False).ids)

    def ids(self, text: str) -> Ids:
        """Ids of one text with special tokens, int64[1, tokens], at most `max_tokens`."""
        found = self._tokenizer.encode(text)
        return np.array([_cut(found.ids, found.special_tokens_mask, self._max_tokens)], np.int64)


def _cut(ids: list[int], special: list[int], most: int) -> list[int]:
    """At most so many of `ids`; those that mark the text's end stay."""
    if len(ids) <= most:
        return ids
    ending = next((number for number, mark in enumerate(reversed(special)) if not mark), 0)
    return ids[: most - ending] + ids[len(ids) - ending :]


class Pairs:
    """The same of a cross-encoder, which sees two texts as one."""

    def __init__(self, folder: Path, max_tokens: int) -> None:
        self._tokenizer = _read(folder)
        self._tokenizer.enable_truncation(max_tokens)

    def ids(self, first: str, second: str) -> tuple[Ids, Ids]:
        """Ids and segments, int64[1, tokens] each, at most `max_tokens`; the longer text is cut."""
        found = self._tokenizer.encode(plain(first), plain(second))
        return np.array([found.ids], np.int64), np.array([found.type_ids], np.int64)


def plain(text: str) -> str:
    """The text with `?` for lone surrogates, which no tokenizer takes."""
    return text.encode("utf-8", "replace").decode()


def _read(folder: Path) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer
