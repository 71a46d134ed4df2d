"""The scheduler in simulated time: who is loaded, who waits for whom."""

import asyncio

import pytest

from ollama_emulator.clock import VirtualClock
from ollama_emulator.faults import FaultBook
from ollama_emulator.knobs import Knobs
from ollama_emulator.models import model
from ollama_emulator.options import RunnerOptions, runner_options
from ollama_emulator.scheduler import Ask, Busy, LoadFailed, Scheduler
from ollama_emulator.speeds import Speeds
from ollama_emulator.truth import Truth

SPEEDS = Speeds(load_s=3.0)
A, B, C, D = (model(name, speeds=SPEEDS, size=100, kv_bytes_per_token=0) for name in "abcd")
LORA = model("lora", blob=A.blob, adapters=("x",), speeds=SPEEDS)


class Stage:
    """A scheduler whose time moves when a test says so."""

    def __init__(self, **knobs):
        self.clock = VirtualClock(auto=False)
        self.truth = Truth(self.clock.now)
        self.faults = FaultBook(self.clock.now)
        self.it = Scheduler(Knobs(**knobs), self.clock, self.faults, self.truth)
        self.tasks = []

    async def ask(self, wanted, keep_alive=None, **options):
        task = asyncio.ensure_future(
            self.it.obtain(Ask(wanted, runner_options(wanted, options), keep_alive, len(self.tasks)))
        )
        self.tasks.append(task)
        await self.clock.advance(0)
        return task

    def loaded(self) -> list[str]:
        return sorted(r.model.name.removesuffix(":latest") for r in self.it.loaded.values())


@pytest.fixture
async def make():
    stages = []

    def build(**knobs):
        stages.append(Stage(**knobs))
        return stages[-1]

    yield build
    for stage in stages:
        stage.it.close()
        for task in stage.tasks:
            task.cancel()
        await asyncio.gather(*stage.tasks, return_exceptions=True)


async def test_a_load_takes_its_time(make):
    stage = make()
    task = await stage.ask(A)
    await stage.clock.advance(2.9)
    assert not task.done()
    assert stage.loaded() == []
    await stage.clock.advance(0.2)
    assert task.result().model is A


async def test_a_loaded_model_never_waits(make):
    stage = make()
    await stage.ask(A)
    await stage.clock.advance(3)
    stage.it.knobs = Knobs(max_queue=0)
    assert (await stage.ask(A)).done()
    with pytest.raises(Busy):
        await (await stage.ask(B))


async def test_loads_go_one_after_the_other(make):
    stage = make()
    first, second = await stage.ask(A), await stage.ask(B)
    await stage.clock.advance(3.5)
    assert (first.done(), second.done()) == (True, False)
    await stage.clock.advance(3)
    assert second.done()


async def test_a_changed_option_reloads_once_the_last_request_is_released(make):
    stage = make()
    first = await stage.ask(A, num_ctx=4096)
    await stage.clock.advance(3)
    second = await stage.ask(A, num_ctx=8192)
    await stage.clock.advance(100)
    assert not second.done()
    stage.it.release(first.result())
    await stage.clock.advance(3)
    assert second.result().place.num_ctx == 8192


async def test_what_waits_behind_a_reload_waits_but_a_loaded_model_does_not(make):
    stage = make()
    busy = await stage.ask(A, num_ctx=4096)
    await stage.ask(B)
    await stage.clock.advance(6)
    await stage.ask(A, num_ctx=8192)
    third, loaded = await stage.ask(C), await stage.ask(B)
    await stage.clock.advance(50)
    assert (third.done(), loaded.done()) == (False, True)
    stage.it.release(busy.result())
    await stage.clock.advance(6)
    assert third.done()


async def test_a_base_and_its_lora_are_never_both_loaded(make):
    stage = make()
    for wanted in (A, LORA, A):
        task = await stage.ask(wanted)
        await stage.clock.advance(2.9)
        assert not task.done()
        await stage.clock.advance(0.1)
        assert len(stage.it.loaded) == 1
        stage.it.release(task.result())


async def test_the_victim_is_idle_then_of_the_shortest_keep_alive(make):
    stage = make(max_loaded=3)
    for wanted, keep in ((A, 500.0), (B, 100.0), (C, 1000.0)):
        task = await stage.ask(wanted, keep)
        await stage.clock.advance(3)
        if wanted is not B:
            stage.it.release(task.result())
    await stage.ask(D)
    await stage.clock.advance(3)
    assert stage.loaded() == ["b", "c", "d"]


async def test_a_full_gpu_makes_room_by_eviction(make):
    stage = make(vram_bytes=250)
    for wanted in (A, B):
        stage.it.release((await _loaded(stage, wanted)).result())
    await _loaded(stage, C)
    assert "c" in stage.loaded()
    assert len(stage.loaded()) == 2


async def _loaded(stage, wanted):
    task = await stage.ask(wanted)
    await stage.clock.advance(3)
    return task


async def test_memory_takes_its_time_to_come_back(make):
    stage = make(max_loaded=1, vram_recovery_s=5.0)
    stage.it.release((await _loaded(stage, A)).result())
    second = await stage.ask(B)
    await stage.clock.advance(7.9)
    assert not second.done()
    await stage.clock.advance(0.2)
    assert second.done()


async def test_who_leaves_during_the_load_takes_its_progress_along(make):
    stage = make()
    first, second = await stage.ask(A), await stage.ask(A)
    await stage.clock.advance(2.5)
    first.cancel()
    await stage.clock.advance(2.9)
    assert not second.done()
    await stage.clock.advance(0.2)
    assert second.done()
    assert stage.truth.counts["load_abort"] == 1


async def test_who_leaves_while_waiting_is_skipped(make):
    stage = make()
    await stage.ask(A)
    (await stage.ask(B)).cancel()
    last = await stage.ask(C)
    await stage.clock.advance(6)
    assert last.done()
    assert stage.loaded() == ["a", "c"]


async def test_a_failed_load_tells_its_request_and_the_next_is_served(make):
    stage = make()
    stage.faults.add({"kind": "load_fail", "times": 1})
    first, second = await stage.ask(A), await stage.ask(B)
    await stage.clock.advance(10)
    with pytest.raises(LoadFailed, match="llama-server process has terminated: exit status 1: "):
        first.result()
    assert second.done()


async def test_the_last_keep_alive_named_wins(make):
    stage = make()
    first = (await _loaded(stage, A)).result()
    await stage.ask(A, 20.0)
    await stage.ask(A)
    for _ in range(3):
        stage.it.release(first)
    await stage.clock.advance(19)
    assert stage.loaded() == ["a"]
    await stage.clock.advance(2)
    assert stage.loaded() == []


async def test_a_request_stops_the_timer(make):
    stage = make(keep_alive_s=10)
    runner = (await _loaded(stage, A)).result()
    stage.it.release(runner)
    await stage.clock.advance(8)
    await stage.ask(A)
    await stage.clock.advance(50)
    assert stage.loaded() == ["a"]


async def test_a_sick_runner_is_replaced_when_it_is_free(make):
    stage = make()
    runner = (await _loaded(stage, A)).result()
    runner.stuck = True
    task = await stage.ask(A)
    await stage.clock.advance(5)
    assert not task.done()
    stage.it.release(runner)
    await stage.clock.advance(3)
    assert task.result() is not runner


@pytest.mark.parametrize(
    ("has", "wants", "reloads"),
    [
        ({}, {}, False),
        ({"num_ctx": 4096}, {"num_ctx": 4096}, False),
        ({}, {"num_ctx": 4096}, False),
        ({}, {"num_ctx": 8192}, True),
        ({"num_ctx": 8192}, {}, True),
        ({"num_ctx": 4096}, {}, False),
        ({"shift": False}, {}, True),
        ({}, {"shift": False}, True),
        ({"num_ctx": 4096, "shift": False}, {"num_ctx": 4096, "shift": False}, False),
        ({}, {"num_ctx": 10**9}, True),
        ({}, {"num_batch": 256}, True),
        ({}, {"num_gpu": -1}, False),
        ({}, {"num_gpu": 0}, True),
        ({}, {"main_gpu": 1}, True),
        ({}, {"use_mmap": False}, True),
        ({}, {"num_thread": 4}, True),
        ({}, {"temperature": 0.1, "num_predict": 3}, False),
    ],
)
def test_which_options_reload(has, wants, reloads):
    first, second = runner_options(A, has), runner_options(A, wants)
    assert first.differ(second, first.num_ctx or 4096, second.num_ctx or 4096) is reloads


def test_the_context_is_clamped_before_it_is_compared():
    small = model("small", train_ctx=2048)
    has = runner_options(small, {"num_ctx": 2048})
    wanted = runner_options(small, {"num_ctx": 65_536})
    assert not has.differ(wanted, 2048, wanted.num_ctx)


def test_an_adapter_makes_a_reload():
    assert RunnerOptions().differ(RunnerOptions(adapters=("x",)), 4096, 4096)
