"""Tells the slots what they may give out, as it follows from what is known."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from backend.core.clock import Clock
from backend.pool.capacity import capacities
from backend.pool.knowledge import Knowledge
from backend.pool.slots.base import Capacity, Slots, Snapshot


class Publisher:
    """The slots, as this process last saw and told them.

    Attributes:
        view: The slots as they were at the last round.
    """

    def __init__(self, knowledge: Knowledge, slots: Slots, clock: Clock) -> None:
        self.view = Snapshot()
        self._knowledge = knowledge
        self._slots = slots
        self._clock = clock
        self._told: Mapping[str, Capacity] = {}
        self._publishing = asyncio.Lock()

    async def read(self) -> None:
        """Look at the slots.

        Before what they follow from is read: a change that another process makes meanwhile is then either
        known here, or not undone.
        """
        self.view = await self._slots.view()
        self._told = self.view.capacities

    async def publish(self) -> None:
        """Tell the slots what has changed; one at a time, so that none tells what was true before another."""
        async with self._publishing:
            wanted = capacities(self._knowledge.observed(), self._clock.now())
            for id in [id for id in self._told if id not in wanted]:
                await self._slots.remove(id)
            for id, room in wanted.items():
                if self._told.get(id) != room:
                    await self._slots.put(id, room)
            self._told = wanted

    def told(self) -> Mapping[str, Capacity]:
        """What the slots know, by instance."""
        return self._told

    def could_answer(self, model: str) -> list[str]:
        """Instances that have `model`, in memory or not."""
        return [id for id, room in self._told.items() if room.answers(model) or model in room.cold]
