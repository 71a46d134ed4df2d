"""Texts of many callers before one model: who is let in, who goes first, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from backend.core.errors import DeadlineExceeded, EmbedderUnavailable
from backend.embedding.base import Vectors
from backend.embedding.batching import BatchingEmbedder
from backend.embedding.wire import Purpose

SMALL_TEXTS: Final = 4
SMALL_CHARS: Final = 2000
"""A request up to this size that does not say what it is for may come from somebody who waits."""
_RETRY_AFTER_S: Final = 1.0


class Desk:
    """Lets requests in up to a bound, questions and passages each for themselves.

    Args:
        embedder: Embeds questions before passages.
        limit: Most texts of either kind that are here at once.
        within_s: Longest stay of a request.
    """

    def __init__(self, embedder: BatchingEmbedder, *, limit: int, within_s: float) -> None:
        self.embedder = embedder
        self.waiting = {"query": 0, "passage": 0}
        """Texts that are here, by what they are for."""
        self._limit = limit
        self._within_s = within_s

    async def embed(self, texts: Sequence[str], purpose: Purpose | None) -> Vectors:
        """Unit rows, float32[n, d]. With a purpose the model's prefix is put before each text.

        A caller that is cancelled frees its place, and what of its texts was not yet begun.

        Raises:
            EmbedderUnavailable: Too many texts are here already, or the model cannot be used.
            DeadlineExceeded: It took too long.
        """
        with self._place(lane_of(texts, purpose), len(texts)):
            try:
                async with asyncio.timeout(self._within_s):
                    return await self._embed(texts, purpose)
            except TimeoutError as exc:
                raise DeadlineExceeded("the texts could not be embedded in time") from exc

    async def _embed(self, texts: Sequence[str], purpose: Purpose | None) -> Vectors:
        match purpose:
            case "query":
                return await self.embedder.embed_queries(texts)
            case "passage":
                return await self.embedder.embed_passages(texts)
        urgent = lane_of(texts, purpose) == "query"
        return await self.embedder.embed_as_they_are(texts, urgent=urgent)

    @contextmanager
    def _place(self, lane: Purpose, texts: int) -> Iterator[None]:
        if self.waiting[lane] + texts > self._limit:
            raise EmbedderUnavailable("too many texts wait to be embedded", retry_after_s=_RETRY_AFTER_S)
        self.waiting[lane] += texts
        try:
            yield
        finally:
            self.waiting[lane] -= texts


def lane_of(texts: Sequence[str], purpose: Purpose | None) -> Purpose:
    """Among whom a request waits: it says so, or else its size does."""
    if purpose is not None:
        return purpose
    small = len(texts) <= SMALL_TEXTS and sum(map(len, texts)) <= SMALL_CHARS
    return "query" if small else "passage"
