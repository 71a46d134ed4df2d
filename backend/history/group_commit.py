"""Writes of many callers in few transactions: one is under way, and the next carries all that came meanwhile.

SQLite lets one writer in at a time, each commit waits for the disk, and each statement for several rounds of
the event loop: when 200 asked at once, each with a transaction of its own, readers waited for seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from backend.core.aio import Background
from backend.core.errors import NotFound, StorageUnavailable
from backend.infra.sql import transaction

W = TypeVar("W")
Carry = Callable[[AsyncConnection, Sequence[W]], Awaitable[None]]
"""Makes all of these writes, in one transaction that is not its own."""


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[W]):
    write: W
    made: asyncio.Future[None]


class GroupCommit(Generic[W]):
    """One writer for all callers of this process.

    Args:
        engine: Opened by `infra.sql.open_engine`.
        carry: May be called again with a write whose first transaction was rolled back.
    """

    def __init__(self, engine: AsyncEngine, carry: Carry[W]) -> None:
        self._engine = engine
        self._carry = carry
        self._waiting: list[_Waiting[W]] = []
        self._writer = Background()
        self._draining = False

    async def make(self, write: W) -> None:
        """Return once `write` is committed; others' writes may be in its transaction.

        A caller that is cancelled meanwhile does not know whether its write was made.

        Raises:
            NotFound, IntegrityError: `carry` refused this write.
            StorageFull, StorageUnavailable
        """
        mine = _Waiting(write, asyncio.get_running_loop().create_future())
        self._waiting.append(mine)
        if not self._draining:
            self._draining = True
            self._writer.start(self._drain(), name="history writes")
        await mine.made

    async def close(self) -> None:
        """Give up what is under way or waits."""
        await self._writer.close()
        _fail(self._waiting, StorageUnavailable("the service is stopping"))

    async def _drain(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting, []
                await self._commit([one for one in group if not one.made.done()])
        finally:
            self._draining = False

    async def _commit(self, group: Sequence[_Waiting[W]]) -> None:
        try:
            async with transaction(self._engine) as connection:
                await self._carry(connection, [one.write for one in group])
        except (NotFound, IntegrityError) as exc:
            if len(group) == 1:
                _fail(group, exc)
                return
            for one in group:  # one that is refused takes no other with it
                await self._commit([one])
        except asyncio.CancelledError:
            _fail(group, StorageUnavailable("the service is stopping"))
            raise
        except Exception as exc:  # noqa: BLE001  raised again by everybody who waits for it
            _fail(group, exc)
        else:
            for one in group:
                if not one.made.done():
                    one.made.set_result(None)


def _fail(group: Sequence[_Waiting[W]], exc: Exception) -> None:
    for one in group:
        if not one.made.done():
            one.made.set_exception(exc)
