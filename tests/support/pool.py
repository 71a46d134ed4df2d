"""A pool over scripted engines, in one process, whose controller makes a round when it is told to."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random

from backend.core.clock import Clock
from backend.pool.base import Instance, InstanceStatus
from backend.pool.controller import Controller, Pace
from backend.pool.dispatch import Dispatcher
from backend.pool.eta import Waits
from backend.pool.operating import PoolOperator
from backend.pool.retries import Retried, RetryBudget
from backend.pool.shared_notes.memory import MemoryNotes
from backend.pool.slots.memory import MemorySlots
from tests.support.asks import a_registry, a_request, an_ask
from tests.support.manual_clock import ManualClock


@dataclass(frozen=True, slots=True)
class APool:
    """A pool and what it is made of."""

    pool: Dispatcher
    controller: Controller
    slots: MemorySlots
    operator: PoolOperator
    clock: Clock

    def ask(self, name: str = "g", *, model: str = "m", **more):
        """The events of one request."""
        return self.pool.generate(an_ask(name, **more), a_request(model=model))

    async def events(self, name: str = "g", **more) -> list:
        return [event async for event in self.ask(name, **more)]

    async def instance(self, name: str) -> InstanceStatus:
        return next(one for one in (await self.pool.status()).instances if one.id == name)

    async def in_flight(self) -> list[int]:
        return [one.in_flight for one in (await self.pool.status()).instances]

    async def health(self) -> list[str]:
        return [one.health for one in (await self.pool.status()).instances]

    async def waiting(self) -> int:
        return sum((await self.pool.status()).waiting.values())


@asynccontextmanager
async def a_pool(
    *instances: Instance,
    clock: Clock | None = None,
    queue_limit: int = 512,
    refresh_s: float = 0.001,
    retries: RetryBudget | None = None,
    pace: Pace | None = None,
    max_wait_s: float = math.inf,
    retried: Retried = lambda _: None,
    default_model: str = "",
    kind: type[MemorySlots] = MemorySlots,
    notes: MemoryNotes | None = None,
) -> AsyncIterator[APool]:
    """A pool that has looked at its instances once."""
    clock = clock or ManualClock()
    slots, notes = kind(clock, queue_limit=queue_limit, rng=Random(0)), notes or MemoryNotes()

    registry = a_registry(instances, notes)
    controller = Controller(registry, slots, notes, clock, pace=pace, default_model=default_model)
    await controller.open()
    pool = Dispatcher(
        controller, slots, clock,
        waits=Waits(), retries=retries, max_wait_s=max_wait_s, refresh_s=refresh_s, retried=retried,
    )  # fmt: skip
    try:
        yield APool(pool, controller, slots, PoolOperator(registry, controller), clock)
    finally:
        await controller.close()
