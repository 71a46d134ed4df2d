"""What is known to stand still loses its requests at once, whatever their bounds; what speaks keeps them."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from backend.core.errors import EngineTimeout
from backend.engines.base import Bounds, End, Text
from backend.engines.scripted import Hold, ScriptedEngine, recite
from backend.pool.base import Assigned
from backend.pool.controller import Controller
from backend.pool.dispatch import Dispatcher
from backend.pool.eta import Waits
from backend.pool.gaps import ENOUGH
from backend.pool.retries import RetryBudget
from backend.pool.shared_notes.memory import MemoryNotes
from backend.pool.slots.memory import MemorySlots
from tests.support.asks import a_registry, a_request, an_ask, an_instance
from tests.support.manual_clock import ManualClock
from tests.support.pool import a_pool

BOUNDS = Bounds(1.0, 120.0, 30.0)


class Reader:
    """Follows one request in a task of its own; `events` is what came so far."""

    def __init__(self, pool: Dispatcher, name: str, model: str = "m") -> None:
        self.events: list = []
        request = a_request(model=model, bounds=BOUNDS)
        self.task = asyncio.ensure_future(self._follow(pool.generate(an_ask(name, subject=name), request)))

    async def _follow(self, stream) -> None:
        async for event in stream:
            self.events.append(event)

    @property
    def instances(self) -> list[str]:
        return [event.instance for event in self.events if isinstance(event, Assigned)]

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, Text))


async def settled() -> None:
    for _ in range(60):
        await asyncio.sleep(0)


def server(*scripts, models=("m",)) -> ScriptedEngine:
    return ScriptedEngine(*scripts, models=models)


def never():
    return (Hold(asyncio.Event()),)


def good(models=("m",)) -> ScriptedEngine:
    return server(recite("elsewhere"), models=models)


def speaking(release: asyncio.Event, *, times: int = ENOUGH + 2):
    """A stream that tells one piece, then goes on whenever it is released."""
    return (*(Text("a ") for _ in range(times)), Hold(release), *recite("end"))


@asynccontextmanager
async def readers(it, *names: str, model: str = "m"):
    async with AsyncExitStack() as stack:
        made = []
        for name in names:
            made.append(Reader(it.pool, name, model))
            stack.callback(made[-1].task.cancel)
            await settled()
        yield made


async def aside(it, *ids: str) -> None:
    """Nobody is sent there for now."""
    for id in ids:
        await it.operator.drain(id)


async def test_a_stream_that_stalls_takes_those_with_it_that_have_nothing_and_leaves_those_that_speak():
    goes_on = asyncio.Event()
    stalls, speaks = speaking(asyncio.Event()), speaking(goes_on)
    bad = server(stalls, speaks, never())
    async with a_pool(an_instance(bad, "bad", slots=4), an_instance(good(), "good", slots=4)) as it:
        await aside(it, "good")
        async with readers(it, "stalls", "speaks", "waits") as (one, two, three):
            assert [r.instances for r in (one, two, three)] == [["bad"]] * 3
            await it.operator.resume("good")
            it.clock.advance(3)
            goes_on.set()
            await settled()
            assert two.task.done(), "it was served to its end"
            it.clock.advance(9.5)  # a gap of 3 s was seen: four times as long is borne
            it.controller.traffic.watch()
            await settled()
            assert one.instances == three.instances == ["bad", "good"]
            assert "elsewhere" in one.text
            assert isinstance(three.events[-1], End)
            assert (await it.instance("bad")).health == "open"


async def test_a_request_that_meets_its_own_bound_takes_those_with_it_that_wait():
    gate = asyncio.Event()
    bad = server((Hold(gate), EngineTimeout()), never(), never())
    async with a_pool(an_instance(bad, "bad", slots=4), an_instance(good(), "good", slots=4)) as it:
        await aside(it, "good")
        async with readers(it, "a", "b", "c") as (one, two, three):
            await it.operator.resume("good")
            it.clock.advance(20)
            gate.set()
            await settled()
            assert [r.instances for r in (one, two, three)] == [["bad", "good"]] * 3
            assert all(isinstance(r.events[-1], End) for r in (one, two, three))


async def test_with_nowhere_to_go_everybody_waits_on():
    bad = server(speaking(asyncio.Event()), never())
    async with a_pool(an_instance(bad, "bad", slots=4)) as it, readers(it, "a", "b") as (one, two):
        it.clock.advance(20)
        it.controller.traffic.watch()
        await settled()
        assert not one.task.done()
        assert not two.task.done()
        assert await it.health() == ["closed"]


async def test_who_failed_at_the_only_other_instance_waits_on():
    """Both die at once: whoever lost one must not be chased from the other."""
    gate = asyncio.Event()
    first = server((Text("a "), Hold(gate), EngineTimeout()))
    second = server(speaking(asyncio.Event()))
    async with a_pool(an_instance(first, "first"), an_instance(second, "second")) as it:
        await aside(it, "second")
        async with readers(it, "a") as (one,):
            await it.operator.resume("second")
            gate.set()
            await settled()
            assert one.instances == ["first", "second"]
            it.clock.advance(20)
            it.controller.traffic.watch()
            await settled()
            assert one.instances == ["first", "second"]
            assert not one.task.done()


async def test_another_model_of_the_same_instance_keeps_its_requests():
    bad = ScriptedEngine(
        choose=lambda _, request: speaking(asyncio.Event()) if request.model == "m" else never(),
        models=("m", "n"),
    )
    other = good(("m", "n"))
    async with a_pool(an_instance(bad, "bad", slots=4), an_instance(other, "good", slots=4)) as it:
        await aside(it, "good")
        async with readers(it, "a") as (one,), readers(it, "b", model="n") as (two,):
            await it.operator.resume("good")
            it.clock.advance(6)
            it.controller.traffic.watch()
            await settled()
            assert one.instances == ["bad", "good"]
            assert two.instances == ["bad"]


async def test_moving_many_is_no_matter_of_the_budget_for_retries():
    scripts = [speaking(asyncio.Event()), *[never()] * 30]
    budget = RetryBudget(share=0.0, floor=1)
    bad, other = an_instance(server(*scripts), "bad", slots=40), an_instance(good(), "good", slots=4)
    async with a_pool(bad, other, retries=budget) as it:
        await aside(it, "good")
        async with readers(it, *map(str, range(20))) as all_of_them:
            await it.operator.resume("good")
            it.clock.advance(6)
            it.controller.traffic.watch()
            for _ in range(20):
                await asyncio.sleep(0.005)
                await settled()
            assert all(isinstance(reader.events[-1], End) for reader in all_of_them)


async def test_a_slow_reader_is_no_silent_server():
    bad = server(speaking(asyncio.Event()))
    async with a_pool(an_instance(bad, "bad", slots=2), an_instance(good(), "good")) as it:
        await aside(it, "good")
        stream = it.ask("a")
        for _ in range(ENOUGH + 2):
            await anext(stream)
        await it.operator.resume("good")
        it.clock.advance(60)
        it.controller.traffic.watch()
        assert isinstance(await anext(stream), Text)
        assert await it.health() == ["closed", "closed"]
        await stream.aclose()


@pytest.mark.parametrize("speaks", [True, False])
async def test_what_another_process_found_moves_the_requests_of_this_one(speaks):
    clock, notes = ManualClock(), MemoryNotes()
    slots = MemorySlots(clock)
    heard = asyncio.Event()
    bad = server(speaking(heard), speaking(asyncio.Event()))
    instances = [an_instance(bad, "bad", slots=4), an_instance(good(), "good", slots=4)]
    controllers = [
        Controller(
            a_registry(instances, notes),
            slots,
            notes,
            clock,
        )
        for _ in "ab"
    ]
    pools = [
        Dispatcher(controller, slots, clock, waits=Waits(), refresh_s=0.001) for controller in controllers
    ]
    for controller in controllers:
        await controller.open()
        await controller.tick()
    await slots.remove("good")
    here, there = Reader(pools[0], "here"), Reader(pools[1], "there")
    await settled()
    for controller in controllers:
        await controller.tick()
    clock.advance(4)
    if speaks:
        heard.set()
        await settled()
    clock.advance(2)
    controllers[1].traffic.watch()
    await settled()
    assert there.instances == ["bad", "good"]
    await controllers[0].tick()
    await settled()
    assert here.instances == (["bad"] if speaks else ["bad", "good"])
    for reader in (here, there):
        reader.task.cancel()
    for controller in controllers:
        await controller.close()
