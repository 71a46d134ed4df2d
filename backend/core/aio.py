"""Background work that somebody owns."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Self, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")


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


_given_up: set[asyncio.Future[Any]] = set()


async def soon(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, if it comes within `seconds`; else it is cancelled, and ends behind.

    For work whose cancelling takes long, as that of a database's connection does: seconds, if it is silent.

    Raises:
        TimeoutError: It took longer.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        if not task.done():
            task.cancel()
            _given_up.add(task)
            task.add_done_callback(_forget)
    if task in _given_up:
        raise TimeoutError
    return task.result()


def _forget(task: asyncio.Future[Any]) -> None:
    _given_up.discard(task)
    if not task.cancelled():
        task.exception()  # nobody waits for it any more


class Elapsed(TimeoutError):
    """A wait lasted too long; raised by `Limit` alone, so that a `TimeoutError` from within is told apart."""


class Limit:
    """Bounds the many short waits of a stream, one after the other, as `asyncio.timeout` bounds one.

    A stream waits for every token in several places, and `asyncio.timeout` arms and disarms a timer for
    each: 5 µs of CPU. Here one timer stays armed from wait to wait, and looks only when it fires whether one
    lasts too long: 2 µs. Leaving the context disarms it.
    """

    __slots__ = ("_expired", "_fires", "_task", "_timer", "_until")

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None
        self._fires = 0.0
        self._until: float | None = None
        self._task: asyncio.Task[Any] | None = None
        self._expired = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def within(self, seconds: float, work: Awaitable[T]) -> T:
        """The result of `work`; waits of one limit never overlap.

        Raises:
            Elapsed: It took longer than `seconds`, and was cancelled.
        """
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        cancels, self._task = task.cancelling(), task
        self._arm(loop, loop.time() + seconds)
        try:
            return await work
        except asyncio.CancelledError as exc:
            if self._expired and task.cancelling() - 1 <= cancels:
                raise Elapsed from exc
            raise  # somebody else's
        finally:
            self._until = self._task = None
            if self._expired:
                self._expired = False
                task.uncancel()

    def expire(self) -> None:
        """End the present wait as if it had lasted too long; without one, nothing happens."""
        if self._until is not None and self._task is not None and not self._expired:
            self._expired = True
            self._task.cancel()

    def close(self) -> None:
        """Disarm."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, loop: asyncio.AbstractEventLoop, until: float) -> None:
        self._until = until
        if self._timer is None or until < self._fires:
            self.close()
            self._fires = until
            self._timer = loop.call_at(until, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if self._until is None or self._task is None:
            return  # nobody waits now; the next wait arms anew
        if loop.time() < self._until:
            self._arm(loop, self._until)
        else:
            self.expire()


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
