"""Question vectors and token counts that were computed a moment ago."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from backend.embedding.base import Embedder, Vectors


class CachedEmbedder:
    """Keeps the vectors of the last `size` questions, and how many tokens the last `size` texts have.

    A vector is 1.5 kB at 384 dimensions: 4,096 of them take 6 MB, as many passages 4 MB. To count the six
    passages of an answer takes two milliseconds of the event loop, and the same are found again and again.
    """

    def __init__(self, inner: Embedder, *, size: int) -> None:
        self.id = inner.id
        self.dimensions = inner.dimensions
        self.max_tokens = inner.max_tokens
        self._inner = inner
        self._size = size
        self._rows: OrderedDict[str, Vectors] = OrderedDict()
        self._counted = lru_cache(maxsize=size)(inner.count_tokens)

    async def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder`."""
        found = {text: row for text in texts if (row := self._rows.get(text)) is not None}
        missing = [text for text in dict.fromkeys(texts) if text not in found]
        if missing:
            found.update(zip(missing, await self._inner.embed_queries(missing), strict=True))
        self._keep(found)
        rows = [found[text] for text in texts]
        return np.stack(rows) if rows else np.zeros((0, self.dimensions), np.float32)

    async def embed_passages(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder`."""
        return await self._inner.embed_passages(texts)

    def count_tokens(self, text: str) -> int:
        """See `Embedder`."""
        return self._counted(text)

    def _keep(self, rows: dict[str, Vectors]) -> None:
        for text, row in rows.items():
            self._rows[text] = row.copy()
            self._rows.move_to_end(text)
        while len(self._rows) > self._size:
            self._rows.popitem(last=False)
