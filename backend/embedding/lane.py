"""One thread that runs forward passes, and the texts that wait for it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from backend.core.errors import EmbedderUnavailable
from backend.embedding.base import Vectors

T = TypeVar("T")
Encode = Callable[[Sequence[T]], Vectors]


@dataclass(frozen=True, slots=True)
class _Job(Generic[T]):
    texts: Sequence[T]
    done: asyncio.Future[Vectors]


class Lane(Generic[T]):
    """First come, first served; what waits together goes into one forward pass. Texts, or pairs of them.

    A caller that goes away takes nothing with it: its texts leave the queue, and a pass that runs
    is ended for the others.

    Args:
        encode: Blocking; called on the lane's own thread, never twice at once.
        batch_size: Most texts in one pass (one caller's texts are never split: it cuts them itself).
        limit: Most texts waiting.
    """

    def __init__(self, encode: Encode[T], *, batch_size: int, limit: int, name: str) -> None:
        self._encode = encode
        self._batch_size = batch_size
        self._limit = limit
        self._waiting: deque[_Job[T]] = deque()
        self._running = False
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def run(self, texts: Sequence[T]) -> Vectors:
        """Vectors of `texts`, in order.

        Raises:
            EmbedderUnavailable: Too many wait already, or the lane is closed.
        """
        if sum(len(job.texts) for job in self._waiting if not job.done.done()) + len(texts) > self._limit:
            raise EmbedderUnavailable("too many texts wait to be embedded", retry_after_s=1.0)
        job = _Job(texts, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        self._next()
        return await job.done

    def _next(self) -> None:
        if self._running or not (batch := self._take()):
            return
        texts = [text for job in batch for text in job.texts]
        try:
            work = asyncio.get_running_loop().run_in_executor(self._pool, self._encode, texts)
        except RuntimeError as exc:
            self._settle(batch, EmbedderUnavailable("the embedder is closed"), exc)
            return
        self._running = True
        work.add_done_callback(lambda ended: self._ended(batch, ended))

    def _take(self) -> list[_Job[T]]:
        batch: list[_Job[T]] = []
        size = 0
        while self._waiting and (not batch or size + len(self._waiting[0].texts) <= self._batch_size):
            job = self._waiting.popleft()
            if not job.done.done():
                batch.append(job)
                size += len(job.texts)
        return batch

    def _ended(self, batch: list[_Job[T]], work: asyncio.Future[Vectors]) -> None:
        self._running = False
        error = EmbedderUnavailable("the embedder is closed") if work.cancelled() else work.exception()
        if error is not None:
            self._settle(batch, error)
        else:
            sizes = [len(job.texts) for job in batch]
            for job, rows in zip(batch, np.split(work.result(), np.cumsum(sizes)[:-1]), strict=True):
                if not job.done.done():
                    job.done.set_result(rows)
        self._next()

    def _settle(self, batch: list[_Job[T]], error: BaseException, cause: BaseException | None = None) -> None:
        if not isinstance(error, EmbedderUnavailable):
            error, cause = EmbedderUnavailable("the embedding model failed"), error
        error.__cause__ = cause
        for job in batch:
            if not job.done.done():
                job.done.set_exception(error)

    def close(self) -> None:
        """Refuse what waits and what comes; a pass that runs ends by itself."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        waiting, self._waiting = list(self._waiting), deque()
        self._settle(waiting, EmbedderUnavailable("the embedder is closed"))
