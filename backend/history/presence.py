"""Which processes are alive: who shares a database gives up only the turns of those that are not."""

from __future__ import annotations

import asyncio
import logging

from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.core.clock import Clock
from backend.core.errors import Unavailable
from backend.history.base import History
from backend.history.tables import processes
from backend.infra.sql import insert, transaction

log = logging.getLogger(__name__)

LEASE_S = 30.0
"""Replicas' clocks may differ by a small part of it."""


class Presence:
    """A process's sign of life in SQL.

    A sign that comes late costs nothing: what was given up meanwhile is restored when it is finished.

    Args:
        process: A name that no other process has, at most 32 characters.
        alone: No other process can be at work, so that the sign of one that was killed need not lapse.
    """

    def __init__(
        self, engine: AsyncEngine, clock: Clock, history: History, *, process: str, alone: bool = False
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._history = history
        self._process = process
        self._alone = alone

    async def sign(self) -> None:
        """Be alive for `LEASE_S`, and give up the turns of those that are not.

        Raises:
            StorageUnavailable, StorageFull
        """
        now = self._clock.now()
        mine = insert(self._engine, processes).values(id=self._process, expires=now + LEASE_S)
        mine = mine.on_conflict_do_update(index_elements=["id"], set_={"expires": mine.excluded.expires})
        dead = processes.c.id != self._process if self._alone else processes.c.expires <= now
        async with transaction(self._engine) as sql:
            await sql.execute(mine)
            await sql.execute(delete(processes).where(dead))
        if given_up := await self._history.abandon(now):
            log.warning("turns of a process that died are given up", extra={"turns": given_up})

    async def run(self) -> None:
        """Sign in time, for ever."""
        while True:
            await asyncio.sleep(LEASE_S / 3)
            try:
                await self.sign()
            except Unavailable as exc:
                log.warning("no sign of life can be given", extra={"code": exc.code})
