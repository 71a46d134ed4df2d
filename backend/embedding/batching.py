"""A local model shared by everybody in the process: questions never wait behind an ingest."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np

from backend.core.clock import Clock
from backend.core.errors import EmbedderUnavailable
from backend.embedding.base import Encoder, Vectors
from backend.embedding.estimate import estimated_tokens
from backend.embedding.lane import Lane
from backend.embedding.models import Model
from backend.embedding.tokens import Counter, plain, tokens_of

Load = Callable[[], Encoder]

_RETRY_AFTER_S = 30.0


class BatchingEmbedder:
    """Two lanes over one model: questions, and passages in short slices.

    Nothing is loaded before the first text comes, or `warm`. A model that does not load is tried
    again after 30 s. Token counts come from the tokenizer alone.

    Args:
        model: What `load` loads.
        load: Blocking; called off the event loop.
        batch_size: Most texts in one forward pass.
        queue_limit: Most questions waiting.
    """

    def __init__(
        self, model: Model, load: Load, *, clock: Clock, batch_size: int = 8, queue_limit: int = 2048
    ) -> None:
        self.id = model.id
        self.dimensions = model.dimensions
        self.max_tokens = model.max_tokens
        self._prefixes = model.query_prefix, model.passage_prefix
        self._batch_size = batch_size
        self._load = load
        self._clock = clock
        self._lock = threading.Lock()
        self._encoder: Encoder | None = None
        self._not_before = 0.0
        self._tokens = _tokenizer(model)
        self._queries = Lane(self._encode, batch_size=batch_size, limit=queue_limit, name="embed-questions")
        self._passages = Lane(self._encode, batch_size=batch_size, limit=queue_limit, name="embed-passages")

    async def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder`."""
        return await self._embed(self._queries, self._prefixes[0], texts)

    async def embed_passages(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder`. Callers take turns slice by slice."""
        return await self._embed(self._passages, self._prefixes[1], texts)

    async def embed_as_they_are(self, texts: Sequence[str], *, urgent: bool) -> Vectors:
        """Unit rows of texts that bring their own prefix; `urgent`: as questions, before passages.

        Raises:
            EmbedderUnavailable
        """
        return await self._embed(self._queries if urgent else self._passages, "", texts)

    def count_tokens(self, text: str) -> int:
        """See `Embedder`; an estimate while the tokenizer is not on this machine."""
        return self._tokens.count(text) if self._tokens else estimated_tokens(text)

    async def warm(self) -> None:
        """Load the model.

        Raises:
            EmbedderUnavailable: It cannot be loaded.
        """
        await self.embed_queries(["warm"])

    def close(self) -> None:
        """Refuse everything from now on."""
        self._queries.close()
        self._passages.close()

    async def _embed(self, lane: Lane[str], prefix: str, texts: Sequence[str]) -> Vectors:
        # Texts of like length share a slice, so that little padding is computed.
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        vectors = np.zeros((len(texts), self.dimensions), np.float32)
        for start in range(0, len(order), self._batch_size):
            rows = order[start : start + self._batch_size]
            vectors[rows] = await lane.run([prefix + plain(texts[i]) for i in rows])
        return vectors

    def _encode(self, texts: Sequence[str]) -> Vectors:
        return self._loaded().encode(texts)

    def _loaded(self) -> Encoder:
        with self._lock:
            if self._encoder is None:
                wait_s = self._not_before - self._clock.monotonic()
                if wait_s > 0:
                    raise EmbedderUnavailable("the embedding model did not load", retry_after_s=wait_s)
                self._not_before = self._clock.monotonic() + _RETRY_AFTER_S
                self._encoder = self._load()
            return self._encoder


def _tokenizer(model: Model) -> Counter | None:
    return tokens_of(model.source, model.max_tokens) if model.source is not None else None
