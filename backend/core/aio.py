"""Background work that somebody owns."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

log = logging.getLogger(__name__)


@contextmanager
def first_of_group() -> Iterator[None]:
    """Around a `TaskGroup`: the error that ended it comes out by itself; the others followed from it."""
    try:
        yield
    except BaseExceptionGroup as group:
        first: BaseException = group
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from group


async def to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` even if the caller is cancelled meanwhile; the cancellation is raised once it has ended."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as exc:
            cancelled = exc
            if task.cancelled():
                break
    if cancelled is not None:
        raise cancelled


class Background:
    """Tasks that outlive the request that started them, and not their owner.

    A task that raises is logged; it never takes its siblings down. At most `limit` run at once.
    """

    def __init__(self, *, limit: int = 10_000) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._limit = limit

    def __len__(self) -> int:
        """How many tasks run now."""
        return len(self._tasks)

    def start(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """Run `work` until it ends or `close` is called.

        Raises:
            RuntimeError: `limit` tasks run already; `work` was not started.
        """
        if len(self._tasks) >= self._limit:
            work.close()
            raise RuntimeError(f"more than {self._limit} background tasks")
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (exc := task.exception()) is not None:
            log.error("background task failed", extra={"task": task.get_name()}, exc_info=exc)

    async def drain(self, grace_s: float) -> None:
        """Wait up to `grace_s` for all to end, then `close`."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_s)
        await self.close()

    async def close(self) -> None:
        """Cancel all and wait until they have ended."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
