"""Whether the store that processes share is there; and what stands in for it while it is not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from backend.core.clock import Clock
from backend.core.errors import SlotsUnavailable
from backend.pool.shared_notes.base import Change, Note, StoredNotes
from backend.pool.slots.base import Capacity, Granted, Place, SharedSlots, Snapshot, Ticket
from backend.pool.slots.memory import MemorySlots

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Link:
    """The state of the shared store as this process sees it.

    Only a sign of life brings it back, so that no request waits for a store that is away.
    """

    is_up: bool = True

    def lost(self, why: SlotsUnavailable) -> None:
        """It did not answer in time."""
        if self.is_up:
            reason = f"{why.message}: {why.__cause__}" if why.__cause__ else why.message
            log.warning(
                "the shared slots are away: this process uses its own share", extra={"reason": reason}
            )
        self.is_up = False

    def found(self) -> None:
        """It gave a sign of life."""
        if not self.is_up:
            log.info("the shared slots are back")
        self.is_up = True


@dataclass(slots=True)
class _Local:
    """A ticket that stands in this process's own slots."""

    ticket: Ticket
    joined: float
    granted: float | None = None
    instance: str = ""


class FallbackSlots:
    """Shared slots while the store answers; else this process's share of each instance, at least one slot.

    Tickets move over by themselves. Shared slots that this process holds count against its share. Still more
    than an instance's slots may be taken meanwhile: that costs latency, never an answer.
    """

    def __init__(self, shared: SharedSlots, link: Link, clock: Clock, *, queue_limit: int = 512) -> None:
        self._shared = shared
        self._own = MemorySlots(clock, queue_limit=queue_limit)
        self._link = link
        self._clock = clock
        self._local: dict[str, _Local] = {}
        self._tickets: dict[str, tuple[Ticket, float]] = {}
        self._capacities: dict[str, Capacity] = {}
        self._processes = 1
        self._held: dict[str, str] = {}
        self._counted: set[str] = set()

    async def join(self, ticket: Ticket, weights: Mapping[str, float]) -> Granted | Place:
        """See `Slots.join`."""
        now = self._clock.monotonic()
        if self._link.is_up:
            try:
                place = await self._shared.join(ticket, weights)
            except SlotsUnavailable as exc:
                self._link.lost(exc)
            else:
                self._tickets[ticket.id] = ticket, now
                return self._noted(ticket.id, place)
        return await self._join_own(ticket, now, weights)

    async def peek(self, ticket: Ticket) -> int:
        """See `Slots.peek`."""
        if self._link.is_up:
            try:
                return await self._shared.peek(ticket)
            except SlotsUnavailable as exc:
                self._link.lost(exc)
        self._count()
        return await self._own.peek(ticket)

    async def wait(self, ticket: str, timeout_s: float) -> Granted | Place:
        """See `Slots.wait`."""
        if ticket in self._local:
            return await self._wait_own(ticket, timeout_s)
        if self._link.is_up:
            try:
                return self._noted(ticket, await self._shared.wait(ticket, timeout_s))
            except SlotsUnavailable as exc:
                self._link.lost(exc)
        one, joined = self._tickets.pop(ticket)
        self._shared.forget(ticket)
        return await self._join_own(self._with_patience_left(one, joined), joined, {})

    async def leave(self, ticket: str, *, held_s: float | None = None) -> None:
        """See `Slots.leave`; what the store is not told now, it is told with the next sign of life."""
        if self._local.pop(ticket, None) is not None:
            await self._own.leave(ticket, held_s=held_s)
            return
        self._tickets.pop(ticket, None)
        await self._uncount(ticket)
        if not self._link.is_up:
            self._shared.forget(ticket)
            return
        try:
            await self._shared.leave(ticket, held_s=held_s)
        except SlotsUnavailable as exc:
            self._link.lost(exc)

    async def promote(self, ticket: str) -> None:
        """See `Slots.promote`."""
        if ticket in self._local:
            await self._own.promote(ticket)
        elif self._link.is_up:
            try:
                await self._shared.promote(ticket)
            except SlotsUnavailable as exc:
                self._link.lost(exc)

    async def put(self, instance: str, room: Capacity) -> None:
        """See `Slots.put`."""
        self._capacities[instance] = room
        await self._own.put(instance, self._share(room))
        if self._link.is_up:
            try:
                await self._shared.put(instance, room)
            except SlotsUnavailable as exc:
                self._link.lost(exc)

    async def remove(self, instance: str) -> None:
        """See `Slots.remove`."""
        self._capacities.pop(instance, None)
        await self._own.remove(instance)
        if self._link.is_up:
            try:
                await self._shared.remove(instance)
            except SlotsUnavailable as exc:
                self._link.lost(exc)

    async def view(self) -> Snapshot:
        """See `Slots.view`."""
        if self._link.is_up:
            try:
                view = await self._shared.view()
            except SlotsUnavailable as exc:
                self._link.lost(exc)
            else:
                await self._learn(view)
                return view
        return replace(
            await self._own.view(), capacities=dict(self._capacities), processes=self._processes, shared=False
        )

    async def _learn(self, view: Snapshot) -> None:
        """Keep this process's own share up to date, so that it can be used at any moment."""
        shares_change = view.processes != self._processes
        self._processes = max(1, view.processes)
        for gone in self._capacities.keys() - view.capacities.keys():
            await self._own.remove(gone)
        for name, room in view.capacities.items():
            if shares_change or self._capacities.get(name) != room:
                await self._own.put(name, self._share(room))
        self._capacities = dict(view.capacities)

    async def beat(self) -> None:
        """Give the store a sign of life; when it is back, tell it of the slots taken meanwhile."""
        was_up = self._link.is_up
        try:
            await self._shared.beat()
            if was_up:  # by now who waited here waits there again
                await self._uncount(*self._counted)
            for ticket, held in [(t, h) for t, h in self._local.items() if h.granted is not None]:
                await self._hand_over(ticket, held)
        except SlotsUnavailable as exc:
            self._link.lost(exc)
        else:
            self._link.found()

    async def live(self, every_s: float = 0.5) -> None:
        """Signs of life for ever."""
        while True:
            await self.beat()
            await asyncio.sleep(every_s)

    async def _hand_over(self, ticket: str, held: _Local) -> None:
        assert held.granted is not None
        await self._shared.adopt(held.ticket, held.instance, self._clock.monotonic() - held.granted)
        if self._local.pop(ticket, None) is None:  # it left meanwhile
            await self._shared.leave(ticket)
            return
        self._tickets[ticket], self._held[ticket] = (held.ticket, held.joined), held.instance
        await self._own.leave(ticket)

    def _noted(self, ticket: str, place: Granted | Place) -> Granted | Place:
        """Keep in mind which shared slots are this process's."""
        if isinstance(place, Granted):
            self._held[ticket] = place.instance
        return place

    def _count(self) -> None:
        """Count the shared slots that this process holds against its own share."""
        for ticket in self._held.keys() - self._counted:
            self._own.adopt(self._tickets[ticket][0], self._held[ticket])
            self._counted.add(ticket)

    async def _uncount(self, *tickets: str) -> None:
        for ticket in tickets:
            if ticket not in self._tickets:
                self._held.pop(ticket, None)
            if ticket in self._counted:
                self._counted.discard(ticket)
                await self._own.leave(ticket)

    async def _join_own(self, ticket: Ticket, joined: float, weights: Mapping[str, float]) -> Granted | Place:
        self._count()
        place = await self._own.join(replace(ticket, tag=None, again=ticket.returns), weights)
        local = self._local[ticket.id] = _Local(ticket, joined)
        self._note(local, place)
        return place

    async def _wait_own(self, ticket: str, timeout_s: float) -> Granted | Place:
        local = self._local[ticket]
        place = await self._own.wait(ticket, timeout_s)
        self._note(local, place)
        if isinstance(place, Granted) or not self._link.is_up:
            return place
        del self._local[ticket]
        await self._own.leave(ticket)
        return await self.join(self._with_patience_left(local.ticket, local.joined), {})

    def _note(self, local: _Local, place: Granted | Place) -> None:
        if isinstance(place, Granted) and local.granted is None:
            local.granted, local.instance = self._clock.monotonic(), place.instance

    def _with_patience_left(self, ticket: Ticket, joined: float) -> Ticket:
        left_s = ticket.patience_s - (self._clock.monotonic() - joined)
        return replace(ticket, patience_s=max(0.0, left_s), again=True)

    def _share(self, room: Capacity) -> Capacity:
        return replace(room, slots=-(-room.slots // self._processes))


class FallbackNotes:
    """The shared notes while the store answers; else this process's copy of it, where it leads everything."""

    def __init__(self, shared: StoredNotes, link: Link) -> None:
        self._shared = shared
        self._own = shared.copy
        self._link = link

    async def read(self, kind: str) -> dict[str, Note]:
        """See `SharedNotes.read`."""
        if self._link.is_up:
            try:
                return await self._shared.read(kind)
            except SlotsUnavailable as exc:
                self._link.lost(exc)
        return await self._own.read(kind)

    async def change(self, kind: str, name: str, change: Change) -> Note | None:
        """See `SharedNotes.change`."""
        if self._link.is_up:
            try:
                return await self._shared.change(kind, name, change)
            except SlotsUnavailable as exc:
                self._link.lost(exc)
        return await self._own.change(kind, name, change)

    async def lead(self, task: str, for_s: float) -> bool:
        """See `SharedNotes.lead`."""
        if self._link.is_up:
            try:
                return await self._shared.lead(task, for_s)
            except SlotsUnavailable as exc:
                self._link.lost(exc)
        return True
