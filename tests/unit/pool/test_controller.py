"""Controllers of several processes, over one notes and the same slots."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from backend.core.errors import EngineTruncated, EngineUnreachable
from backend.engines.base import End
from backend.engines.scripted import ScriptedEngine
from backend.pool.controller import Controller
from backend.pool.note_forms import HEALTH
from backend.pool.shared_notes.memory import MemoryNotes
from backend.pool.slots.memory import MemorySlots
from tests.support.asks import a_registry, an_instance
from tests.support.manual_clock import ManualClock


class Interrupted(MemoryNotes):
    """Something happens elsewhere right after the health of all was read here."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], Awaitable[Any]] | None = None

    async def read(self, kind: str):
        notes = await super().read(kind)
        if kind == HEALTH.kind and self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        return notes


def controllers(many: int):
    clock, notes = ManualClock(), Interrupted()
    slots = MemorySlots(clock)
    engine = ScriptedEngine((End("stop"),), models=("m",))
    instances = [an_instance(engine, name, slots=2) for name in "ab"]
    made = [
        Controller(
            a_registry(instances, notes),
            slots,
            notes,
            clock,
        )
        for _ in range(many)
    ]
    return notes, slots, clock, made


async def test_who_has_not_heard_of_a_failure_yet_does_not_give_the_instance_its_slots_back():
    notes, slots, _, (one, other) = controllers(2)
    for controller in (one, other):
        await controller.open()
        await controller.tick()
    notes.meanwhile = lambda: other.failed("a", EngineUnreachable())
    await one.tick()
    assert (await slots.view()).capacities["a"].slots == 0
    await one.tick()
    assert (await slots.view()).capacities["a"].slots == 0
    assert (await slots.view()).capacities["b"].slots == 2
    for controller in (one, other):
        await controller.close()


@pytest.mark.parametrize(("error", "is_tried"), [(EngineUnreachable(), True), (EngineTruncated(), False)])
async def test_only_what_refused_is_tried_before_its_time(error, is_tried):
    """One token proves nothing where streams break in the middle."""
    _, slots, clock, (controller,) = controllers(1)
    await controller.open()
    for _ in range(3):
        await controller.failed("a", error)
    for after_s, is_back in ((6, is_tried), (40, True)):
        clock.advance(after_s)
        await controller.tick()
        await asyncio.sleep(0.05)
        assert (await slots.view()).capacities["a"].slots == (2 if is_back else 0)
    await controller.close()
