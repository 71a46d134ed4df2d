"""Writes of many callers in few transactions: one is under way, and the next carries all that came meanwhile.

SQLite lets one writer in at a time, and each commit waits for the disk: of fifty questions asked at once,
each with a transaction of its own, the last one's reader waited for seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from backend.core.aio import Background
from backend.core.errors import NotFound, StorageUnavailable
from backend.infra.sql import transaction

T = TypeVar("T")
Work = Callable[[AsyncConnection], Awaitable[T]]


@dataclass(frozen=True, slots=True)
class _Write:
    work: Work[Any]
    done: asyncio.Future[Any]


class GroupCommit:
    """One writer for all callers of this process.

    Args:
        engine: Opened by `infra.sql.open_engine`.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._waiting: list[_Write] = []
        self._writer = Background()
        self._draining = False

    async def write(self, work: Work[T]) -> T:
        """What `work` returns, once its transaction is committed; others' writes may be in it.

        A caller that is cancelled meanwhile does not know whether its write was made. `work` may be called
        twice, the first time in a transaction that is rolled back.

        Raises:
            StorageFull, StorageUnavailable, IntegrityError, and what `work` raises.
        """
        mine = _Write(work, asyncio.get_running_loop().create_future())
        self._waiting.append(mine)
        if not self._draining:
            self._draining = True
            self._writer.start(self._drain(), name="history writes")
        result: T = await mine.done
        return result

    async def close(self) -> None:
        """Give up what is under way or waits."""
        await self._writer.close()
        _fail(self._waiting, StorageUnavailable("the service is stopping"))

    async def _drain(self) -> None:
        try:
            while self._waiting:
                writes, self._waiting = self._waiting, []
                await self._commit([write for write in writes if not write.done.done()])
        finally:
            self._draining = False

    async def _commit(self, writes: list[_Write]) -> None:
        try:
            async with transaction(self._engine) as connection:
                results = [await write.work(connection) for write in writes]
        except (NotFound, IntegrityError) as exc:
            if len(writes) == 1:
                _fail(writes, exc)
                return
            for write in writes:  # one that is refused takes no other with it
                await self._commit([write])
        except asyncio.CancelledError:
            _fail(writes, StorageUnavailable("the service is stopping"))
            raise
        except Exception as exc:  # noqa: BLE001  raised again by everybody who waits for it
            _fail(writes, exc)
        else:
            for write, result in zip(writes, results, strict=True):
                if not write.done.done():
                    write.done.set_result(result)


def _fail(writes: list[_Write], exc: Exception) -> None:
    for write in writes:
        if not write.done.done():
            write.done.set_exception(exc)
