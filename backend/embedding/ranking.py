"""Passages put in the order of how well they answer a question, by a cross-encoder; for many callers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from backend.core.errors import DeadlineExceeded
from backend.embedding.base import Vectors
from backend.embedding.lane import Lane
from backend.embedding.models import RankModel


class Scorer(Protocol):
    """A loaded cross-encoder. Blocking."""

    def scores(self, pairs: Sequence[tuple[str, str]]) -> Vectors:
        """Logits, float32[n, 1], of pairs of question and passage."""


class Ranking:
    """A thread of its own; callers take turns slice by slice.

    Args:
        load: Blocking; called off the event loop, at the first question.
        batch_size: Pairs scored before another caller has a turn.
        limit: Most pairs of slices that wait.
        within_s: Longest stay of a request.
    """

    def __init__(
        self, model: RankModel, load: Callable[[], Scorer], *, batch_size: int, limit: int, within_s: float
    ) -> None:
        self.model = model
        self._load = load
        self._batch_size = batch_size
        self._within_s = within_s
        self._lock = threading.Lock()
        self._scorer: Scorer | None = None
        self._lane = Lane(self._score, batch_size=batch_size, limit=limit, name="rerank")

    async def scores(self, question: str, passages: Sequence[str]) -> Vectors:
        """A logit for each passage, float32[n]; comparable with those of this model alone.

        Raises:
            EmbedderUnavailable: Too many wait, or the model cannot be used.
            DeadlineExceeded: It took too long.
        """
        pairs = [(question, passage) for passage in passages]
        parts = [np.zeros((0, 1), np.float32)]
        try:
            async with asyncio.timeout(self._within_s):
                for start in range(0, len(pairs), self._batch_size):
                    parts.append(await self._lane.run(pairs[start : start + self._batch_size]))
        except TimeoutError as exc:
            raise DeadlineExceeded("the passages could not be ranked in time") from exc
        return np.concatenate(parts)[:, 0]

    def close(self) -> None:
        """Refuse everything from now on."""
        self._lane.close()

    def _score(self, pairs: Sequence[tuple[str, str]]) -> Vectors:
        with self._lock:
            if self._scorer is None:
                self._scorer = self._load()
        return self._scorer.scores(pairs)
