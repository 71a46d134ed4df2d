"""Slots of one process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from random import Random

from backend.core.clock import Clock
from backend.pool.slots.base import Capacity, Granted, Place, Snapshot, Ticket
from backend.pool.slots.table import Entry, SlotTable


class MemorySlots:
    """A `SlotTable` whose waiters are woken; nothing of it outlives the process.

    Args:
        queue_limit: Most tickets waiting.
        rng: Breaks ties between equal instances.
    """

    def __init__(self, clock: Clock, *, queue_limit: int = 512, rng: Random | None = None) -> None:
        self._clock = clock
        self._table = SlotTable(queue_limit, rng or Random())  # noqa: S311  balance, not secrets
        self._changed: dict[str, asyncio.Event] = {}

    async def join(self, ticket: Ticket, weights: Mapping[str, float]) -> Granted | Place:
        """See `Slots.join`."""
        return self._table.join(ticket, weights, self._expired())

    async def peek(self, ticket: Ticket) -> int:
        """See `Slots.peek`."""
        self._expired()
        return self._table.peek(ticket)

    async def wait(self, ticket: str, timeout_s: float) -> Granted | Place:
        """See `Slots.wait`."""
        self._expired()
        place = self._table.place(ticket)
        if isinstance(place, Granted):
            return place
        changed = self._changed.setdefault(ticket, asyncio.Event())
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await changed.wait()
        self._expired()
        return self._table.place(ticket)

    async def leave(self, ticket: str, *, held_s: float | None = None) -> None:
        """See `Slots.leave`."""
        self._changed.pop(ticket, None)
        self._wake(self._table.leave(ticket, self._expired(), held_s))

    def adopt(self, ticket: Ticket, instance: str) -> None:
        """Count a slot that was taken elsewhere, be there room or not; `leave` gives it back."""
        self._table.adopt(ticket, instance, self._expired())

    async def promote(self, ticket: str) -> None:
        """See `Slots.promote`."""
        self._table.promote(ticket)

    async def put(self, instance: str, room: Capacity) -> None:
        """See `Slots.put`."""
        self._wake(self._table.put(instance, room, self._expired()))

    async def remove(self, instance: str) -> None:
        """See `Slots.remove`."""
        self._wake(self._table.remove(instance))

    async def view(self) -> Snapshot:
        """See `Slots.view`."""
        return self._table.view(self._expired())

    def _expired(self) -> float:
        """The time, with everything that ended before it ended."""
        now = self._clock.monotonic()
        self._wake(self._table.expire(now))
        return now

    def _wake(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if changed := self._changed.get(entry.ticket.id):
                changed.set()
