"""Texts to token ids, and token counts, with the model's own tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

Ids = NDArray[np.int64]


class Tokens:
    """The tokenizer in a model's folder.

    Args:
        folder: Holds `tokenizer.json`.
        max_tokens: Longer texts are cut there, special tokens included.
    """

    def __init__(self, folder: Path, max_tokens: int) -> None:
        self._whole = _load(folder)
        self._cut = _load(folder)
        self._cut.enable_truncation(max_tokens)

    def count(self, text: str) -> int:
        """Tokens of the whole text, without special tokens."""
        return len(self._whole.encode(plain(text), add_special_tokens=False).ids)

    def batch(self, texts: Sequence[str]) -> tuple[Ids, Ids]:
        """Ids and attention mask, int64[n, longest], zero-padded on the right."""
        # One by one: `encode_batch` starts a thread per core, whatever the settings say.
        rows = [self._cut.encode(text).ids for text in texts]
        width = max(map(len, rows), default=0)
        ids = np.zeros((len(rows), width), np.int64)
        mask = np.zeros((len(rows), width), np.int64)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = row
            mask[i, : len(row)] = 1
        return ids, mask


def plain(text: str) -> str:
    """The text with `?` for lone surrogates, which no tokenizer takes."""
    return text.encode("utf-8", "replace").decode()


def _load(folder: Path) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer
