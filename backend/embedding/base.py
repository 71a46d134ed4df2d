"""The port of an embedder, and the port of the model inside a local one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
SPECIAL_TOKENS = 2
"""What a model adds around a text."""


class Embedder(Protocol):
    """Text to vectors of one space, shared by all callers of the process.

    Attributes:
        id: Names model, precision and prefixes; vectors of different ids must never meet.
        dimensions: Length of a vector.
        max_tokens: Tokens of one text that the model sees; the rest is ignored.
    """

    id: str
    dimensions: int
    max_tokens: int

    async def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Unit rows, float32[n, dimensions], one for each question.

        Raises:
            EmbedderUnavailable: The model cannot be used now.
        """

    async def embed_passages(self, texts: Sequence[str]) -> Vectors:
        """Unit rows, float32[n, dimensions], one for each passage.

        Raises:
            EmbedderUnavailable: The model cannot be used now.
        """

    def count_tokens(self, text: str) -> int:
        """Tokens of `text` for this model, without special tokens or prefix."""


class Encoder(Protocol):
    """A loaded model. Blocking, and safe to call from two threads at once."""

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit rows, float32[n, dimensions], in one forward pass; prefixes are already in the texts."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """A table in 4 bits.

    Attributes:
        codes: uint8[rows, columns / 2]: two weights each, the first in the low half, both plus 8.
        steps: float32[rows, columns / size].
    """

    codes: NDArray[np.uint8]
    steps: NDArray[np.float32]
    size: int


class Tensors(Protocol):
    """Weights by the names that they have in a checkpoint."""

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        """A tensor.

        Raises:
            KeyError: There is none of that name.
        """

    def blocks(self, name: str) -> Blocks | None:
        """A table as it is kept, if that is in 4 bits."""
