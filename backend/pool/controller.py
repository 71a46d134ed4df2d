"""Looks after the instances in rounds: what is known, who is well, what is loaded, what is given out."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from functools import partial

from backend.core.clock import Clock
from backend.core.errors import EngineError, SlotsUnavailable
from backend.engines.base import Bounds
from backend.pool.contexts import Contexts
from backend.pool.health import succeeded
from backend.pool.knowledge import Knowledge
from backend.pool.loader import Loader
from backend.pool.prober import ProbePace, Prober
from backend.pool.publisher import Publisher
from backend.pool.registry import Registry
from backend.pool.shared_notes.base import SharedNotes
from backend.pool.slots.base import Slots
from backend.pool.traffic import Traffic
from backend.pool.work import Work

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the controller does what, in seconds.

    Attributes:
        tick_s: Between two rounds.
        look_s: Between two looks at an instance, by whichever process.
        look_timeout_s: Longest look.
        quarantine_s: First time that an instance which failed is avoided.
        load_s: Longest load of a model.
        least_gap_s: No stream is given up after a shorter silence.
        watch_s: Between two looks at who is silent.
        probe: How long a probe may take; it is one token.
    """

    tick_s: float = 0.5
    look_s: float = 5.0
    look_timeout_s: float = 2.0
    quarantine_s: float = 30.0
    load_s: float = 300.0
    least_gap_s: float = 5.0
    watch_s: float = 0.25
    probe: Bounds = field(default_factory=lambda: Bounds(2.0, 20.0, 10.0))


class Controller:
    """Watches over all instances, together with the controllers of other processes.

    What one learns is in the shared notes, and each task is led by one process at a time.

    Args:
        default_model: What a server is tried with that does not say what it has; "" for nothing.

    Attributes:
        knowledge: What is known of the instances.
        publisher: The slots, as they were last seen and told.
        traffic: What runs from this process.
    """

    def __init__(
        self,
        registry: Registry,
        slots: Slots,
        notes: SharedNotes,
        clock: Clock,
        *,
        pace: Pace | None = None,
        default_model: str = "",
        contexts: Contexts | None = None,
    ) -> None:
        pace = self._pace = pace or Pace()
        self._work = Work()
        self.knowledge = Knowledge(registry, notes, clock, quarantine_s=pace.quarantine_s, contexts=contexts)
        self.publisher = Publisher(self.knowledge, slots, clock)
        self.traffic = Traffic(self.knowledge, self.publisher, clock, least_gap_s=pace.least_gap_s)
        self._prober = Prober(
            self.knowledge, self.publisher, self.traffic, notes, clock, self._work,
            pace=ProbePace(pace.look_s, pace.look_timeout_s, pace.probe), default_model=default_model,
        )  # fmt: skip
        self._loader = Loader(
            self.knowledge, self.publisher, self._prober, notes, clock, self._work,
            load_s=pace.load_s, quarantine_s=pace.quarantine_s,
        )  # fmt: skip

    async def open(self) -> None:
        """Look at every instance once, so that the first question finds them."""
        await self._read()
        instances = self.knowledge.instances().values()
        await asyncio.gather(*(self._prober.look(one) for one in instances))
        await self.publisher.publish()

    async def close(self) -> None:
        """End what is under way."""
        await self._work.close()

    async def run(self) -> None:
        """Rounds for ever."""
        while True:
            try:
                await self.tick()
            except SlotsUnavailable:
                log.warning(
                    "a round of the pool is left out: its store does not answer",
                    extra={"event": "round_left_out"},
                )
            await asyncio.sleep(self._pace.tick_s)

    async def watch(self) -> None:
        """Look for silent streams for ever."""
        while True:
            await asyncio.sleep(self._pace.watch_s)
            self.traffic.watch()

    async def tick(self) -> None:
        """One round: take in what others learnt, start what is due, tell the slots."""
        await self.publisher.read()
        await self._read()
        for id, one in self.knowledge.instances().items():
            self.traffic.move_silent(id)
            await self._prober.start_due(id, one)
        await self.traffic.tell_use()
        await self._loader.start_due()
        await self.publisher.publish()

    async def welcome(self, id: str) -> None:
        """Look at an instance that was just added; what was known of one of that name is void."""
        self.traffic.forget(id)
        await self.knowledge.forget(id)
        await self._read()
        if one := self.knowledge.instances().get(id):
            await self._prober.look(one)
        await self.publisher.publish()

    async def refresh(self) -> None:
        """Take in what an operator changed, and tell the slots."""
        await self._read()
        await self.publisher.publish()

    async def failed(
        self,
        id: str,
        error: EngineError,
        *,
        began: float | None = None,
        model: str = "",
        silent_s: float | None = None,
    ) -> None:
        """A generation of `model` begun at `began` (wall clock; None: now) failed there; all know at once.

        A model that is missing is barred alone, and so is one that was refused alone before. One that is
        silent, for `silent_s` now, loses all requests that have had nothing since.
        """
        await self._prober.failed(id, error, began=began, model=model, silent_s=silent_s)

    async def succeeded(self, id: str, tokens_per_s: float | None, *, began: float, model: str = "") -> None:
        """A generation of `model` begun at `began` came to its end there, at this speed of its stream."""
        self._prober.served(id)
        if model in self.knowledge.bars(id):
            await self.knowledge.unbar(id, model)
            await self.publisher.publish()
        health = self.knowledge.health(id)
        if health.failures or health.open_until is not None:
            await self.knowledge.change_health(id, partial(succeeded, began=began))
            await self.publisher.publish()
        if tokens_per_s:
            await self.traffic.tell_speed(id, tokens_per_s)

    async def _read(self) -> None:
        await self.knowledge.read()
        await self._loader.forget_lost()
