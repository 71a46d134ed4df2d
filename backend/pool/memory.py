"""A pool within one process: slots counted here, one bounded queue, failover before the first token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TypeVar

from backend.core.clock import Clock
from backend.core.errors import (
    DeadlineExceeded,
    EngineError,
    EngineRejected,
    EngineTruncated,
    NoInstance,
    PoolFull,
)
from backend.engines.base import End, GenerationRequest, Piece
from backend.pool.base import Ask, Assigned, Instance, InstanceState, OfferedModel, PoolEvent, Waiting
from backend.pool.eta import Durations, wait_bounds_s
from backend.pool.offered import merged, offered
from backend.pool.seats import Seats

T = TypeVar("T")


@dataclass(eq=False, slots=True)
class _Ticket:
    """One request's way through the pool: in the queue, then on a seat, then gone."""

    ask: Ask
    model: str
    tried: set[str] = field(default_factory=set)
    seats: Seats | None = None
    position: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class MemoryPool:
    """Slots and queue of one process.

    All bookkeeping happens between two awaits, so nothing can come in between: a slot is taken and given
    back in one step each, and given to the next waiter in the same step.

    Args:
        instances: Every model server; their ids are unique.
        queue_limit: Most requests waiting.
        quarantine_s: How long an instance that failed is avoided.
        refresh_s: Longest time between two `Waiting` events of a request.
        models_ttl_s: How long the answer of `models` is kept; `models_timeout_s` bounds one server's.
    """

    def __init__(
        self,
        instances: Sequence[Instance],
        clock: Clock,
        *,
        queue_limit: int = 512,
        quarantine_s: float = 30.0,
        refresh_s: float = 0.5,
        models_ttl_s: float = 10.0,
        models_timeout_s: float = 1.0,
    ) -> None:
        self._seats = tuple(Seats(instance, quarantine_s) for instance in instances)
        self._clock = clock
        self._queue_limit = queue_limit
        self._refresh_s = refresh_s
        self._queue: list[_Ticket] = []
        self._durations = Durations()
        self._models_ttl_s = models_ttl_s
        self._models_timeout_s = models_timeout_s
        self._models: tuple[float, tuple[OfferedModel, ...]] | None = None
        self._models_lock = asyncio.Lock()

    async def generate(self, ask: Ask, request: GenerationRequest) -> AsyncGenerator[PoolEvent, None]:
        """Wait for a slot, generate, fail over before the first token; see the port."""
        ticket = _Ticket(ask, request.model)
        while True:
            failure: EngineError | None = None
            self._enter(ticket)
            try:
                async for waiting in self._wait(ticket):
                    yield waiting
                assert ticket.seats is not None
                instance = ticket.seats.instance
                yield Assigned(instance.id, request.model, instance.engine.name)
                begun = False
                async with aclosing(self._pieces(ticket, request)) as pieces:
                    try:
                        async for piece in pieces:
                            begun = True
                            yield piece
                        return
                    except EngineError as error:
                        if begun or isinstance(error, EngineRejected):
                            raise
                        failure = error
                ticket.tried.add(instance.id)
            finally:
                self._leave(ticket)
            if not self._candidates(ticket):
                raise failure

    async def models(self) -> tuple[OfferedModel, ...]:
        """Models of all servers that answer now, in the order of the instances; kept for `models_ttl_s`."""
        if self._models is not None and self._models_lock.locked():
            return self._models[1]  # somebody is asking; what was said last is good enough meanwhile
        async with self._models_lock:
            if self._models is None or self._clock.monotonic() - self._models[0] >= self._models_ttl_s:
                answers = await asyncio.gather(*(self._models_of(seats) for seats in self._seats))
                self._models = (self._clock.monotonic(), merged(answers))
            return self._models[1]

    async def _models_of(self, seats: Seats) -> tuple[OfferedModel, ...]:
        instance = seats.instance
        listed, loaded = await asyncio.gather(
            self._bounded(instance.engine.models(instance.endpoint)),
            self._bounded(instance.engine.loaded(instance.endpoint)),
        )
        if listed is None:
            return ()
        seats.listed = frozenset(info.name for info in listed)
        return offered(instance.models, listed, loaded)

    async def _bounded(self, answer: Awaitable[T]) -> T | None:
        """What a server says in time; None if it does not."""
        try:
            async with asyncio.timeout(self._models_timeout_s):
                return await answer
        except (EngineError, TimeoutError):
            return None

    def state(self) -> tuple[InstanceState, ...]:
        """Every instance, in the order given."""
        now = self._clock.monotonic()
        return tuple(seats.state(now) for seats in self._seats)

    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._queue)

    async def _wait(self, ticket: _Ticket) -> AsyncGenerator[Waiting, None]:
        """`Waiting` events until the ticket has a seat: one at first, then when what it says has changed."""
        told: tuple[int, int, int] | None = None
        while ticket.seats is None:
            if not self._candidates(ticket):
                raise self._none_left(ticket)
            left_s = ticket.ask.deadline - self._clock.monotonic()
            if left_s <= 0:
                raise DeadlineExceeded("no slot came free in time")
            ticket.changed.clear()
            waiting = self._waiting(ticket)
            if (shown := (waiting.position, round(waiting.eta_s), round(waiting.eta_high_s))) != told:
                told = shown
                yield waiting
            await _settles(ticket.changed, min(left_s, self._refresh_s))
            if self._has_room():
                self._grant()

    def _waiting(self, ticket: _Ticket) -> Waiting:
        now = self._clock.monotonic()
        usable = [s for s in self._seats if s.serves(ticket.model) and s.health(now) != "open"]
        ages_s = [now - began for seats in usable for began in seats.taken.values()]
        slots = sum(seats.instance.slots for seats in usable)
        low_s, high_s = wait_bounds_s(ticket.position, ages_s, slots, self._durations)
        return Waiting(ticket.position, low_s, high_s)

    async def _pieces(self, ticket: _Ticket, request: GenerationRequest) -> AsyncGenerator[Piece, None]:
        """The engine's pieces, each before the deadline, with the outcome noted."""
        assert ticket.seats is not None
        seats, instance = ticket.seats, ticket.seats.instance
        began = self._clock.monotonic()
        try:
            async with aclosing(instance.engine.generate(instance.endpoint, request)) as pieces:
                while True:
                    piece = await self._next(pieces, ticket.ask.deadline)
                    if isinstance(piece, End):
                        seats.succeeded()
                        self._durations.add(self._clock.monotonic() - began)
                        yield piece
                        return
                    yield piece
        except StopAsyncIteration:
            error = EngineTruncated("the model server ended without its final word")
            self._failed(seats, error)
            raise error from None
        except EngineError as error:
            self._failed(seats, error)
            raise

    async def _next(self, pieces: AsyncGenerator[Piece, None], deadline: float) -> Piece:
        left_s = deadline - self._clock.monotonic()
        if left_s <= 0:
            raise DeadlineExceeded("the answer took too long")
        try:
            async with asyncio.timeout(left_s) as limit:
                return await anext(pieces)
        except TimeoutError as exc:
            if limit.expired():
                raise DeadlineExceeded("the answer took too long") from exc
            raise

    def _enter(self, ticket: _Ticket) -> None:
        if not self._candidates(ticket):
            raise self._none_left(ticket)
        ticket.seats, ticket.position = None, len(self._queue) + 1
        self._queue.append(ticket)
        self._grant()
        if ticket.seats is None and len(self._queue) > self._queue_limit:
            retry_after_s = self._waiting(ticket).eta_high_s
            self._queue.remove(ticket)
            raise PoolFull("too many requests are waiting", retry_after_s=max(1.0, retry_after_s))

    def _leave(self, ticket: _Ticket) -> None:
        if ticket.seats is not None:
            del ticket.seats.taken[id(ticket)]
            ticket.seats = None
        elif ticket in self._queue:
            self._queue.remove(ticket)
        self._grant()

    def _has_room(self) -> bool:
        now = self._clock.monotonic()
        return any(seats.room(now) > 0 for seats in self._seats)

    def _grant(self) -> None:
        """Give every free slot to the first waiter that may have it, and count the others anew."""
        now = self._clock.monotonic()
        left: list[_Ticket] = []
        for ticket in self._queue:
            free = [s for s in self._candidates(ticket) if s.room(now) > 0] if self._has_room() else []
            if free:
                ticket.seats = min(free, key=lambda s: (s.load(), s.used))
                ticket.seats.taken[id(ticket)] = ticket.seats.used = now
                ticket.changed.set()
            else:
                left.append(ticket)
                ticket.position = len(left)
        self._queue = left

    def _failed(self, seats: Seats, error: EngineError) -> None:
        seats.failed(error, self._clock.monotonic())
        for ticket in self._queue:
            ticket.changed.set()

    def _candidates(self, ticket: _Ticket) -> list[Seats]:
        """Instances to ask: those that list the model; if none is known to, all that may have it."""
        now = self._clock.monotonic()
        usable = [
            seats
            for seats in self._seats
            if seats.instance.id not in ticket.tried
            and seats.serves(ticket.model)
            and seats.health(now) != "open"
        ]
        return [seats for seats in usable if seats.lists(ticket.model)] or usable

    def _none_left(self, ticket: _Ticket) -> NoInstance:
        now = self._clock.monotonic()
        waits_s = [seats.retry_after_s(now) for seats in self._seats if seats.serves(ticket.model)]
        return NoInstance("no model server is available", retry_after_s=min(waits_s, default=None))


async def _settles(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        pass
