"""Blocking calls of an index, off the event loop, and no more of them than may be waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from backend.core.errors import RetrievalUnavailable

T = TypeVar("T")


class Threads:
    """A few threads with a bounded queue.

    A call whose caller has gone is still run to its end, and counts until then: an index that hangs makes
    the next calls fail at once instead of piling up.

    Args:
        workers: Threads.
        limit: Most calls that run or wait.
    """

    def __init__(self, name: str, *, workers: int, limit: int = 256) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix=name)
        self._limit = limit
        self._calls = 0

    async def call(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises.

        Raises:
            RetrievalUnavailable: Too many calls, or closed.
        """
        if self._calls >= self._limit:
            raise RetrievalUnavailable("too many searches wait", retry_after_s=1.0)
        try:
            running = asyncio.get_running_loop().run_in_executor(self._pool, work)
        except RuntimeError as exc:
            raise RetrievalUnavailable("the index is closed") from exc
        self._calls += 1
        running.add_done_callback(self._ended)
        return await asyncio.shield(running)

    def _ended(self, running: asyncio.Future[T]) -> None:
        self._calls -= 1
        if not running.cancelled():
            running.exception()  # read, so that a caller that has gone leaves no warning

    def close(self) -> None:
        """Drop what waits; what runs is waited for."""
        self._pool.shutdown(wait=True, cancel_futures=True)
