"""The step loop in simulated time."""

import asyncio
from itertools import pairwise

import pytest

from ollama_emulator.clock import VirtualClock
from ollama_emulator.faults import FaultBook
from ollama_emulator.generation import Generation
from ollama_emulator.models import model
from ollama_emulator.options import RunnerOptions
from ollama_emulator.replies import Reply
from ollama_emulator.runner import Place, Runner
from ollama_emulator.speeds import Speeds
from ollama_emulator.truth import Truth

MODEL = model("m", speeds=Speeds(prefill_tps=1000, n_batch=100, decode={1: 10, 2: 16, 4: 20}))


class Bench:
    """A runner with `slots` slots, and what each generation said, when."""

    def __init__(self, slots=4):
        self.clock = VirtualClock(auto=False)
        self.truth = Truth(self.clock.now)
        self.faults = FaultBook(self.clock.now)
        place = Place(4096, slots, 1, 1, 0)
        self.runner = Runner(MODEL, RunnerOptions(), place, self.clock, self.faults, self.truth)

    def start(self, prompt=10, tokens=5, *, name="p", **more):
        said: list[float] = []
        words = [f"{name}{i}" for i in range(prompt)]
        it = Generation(
            words,
            Reply([f" {i}" for i in range(tokens)]),
            more.pop("limit", 1000),
            self.truth.arrive("/test"),
            lambda _thinking, _text: said.append(round(self.clock.now(), 6)),
            **more,
        )
        it.released = self.runner.leave
        self.runner.start(it)
        return it, said


@pytest.fixture
async def bench():
    it = Bench()
    yield it
    it.runner.close()
    await asyncio.sleep(0)


async def test_one_stream_reads_then_writes_at_its_rate(bench):
    it, said = bench.start(prompt=10, tokens=3)
    await bench.clock.advance(10)
    assert said == [0.01, 0.11, 0.21]
    assert it.ended.result() == "stop"
    assert it.prefill_s == pytest.approx(0.01)


async def test_two_streams_share_a_step(bench):
    _, one = bench.start(prompt=1, tokens=5, name="a")
    _, two = bench.start(prompt=1, tokens=5, name="b")
    await bench.clock.advance(10)
    assert one == two
    assert one[1] - one[0] == pytest.approx(2 / 16)


async def test_a_long_prompt_stalls_the_others_by_a_batch_a_step(bench):
    _, said = bench.start(prompt=1, tokens=40)
    await bench.clock.advance(0.5)
    bench.start(prompt=1000, tokens=1, name="q")
    await bench.clock.advance(20)
    gaps = [round(b - a, 3) for a, b in pairwise(said)]
    assert gaps.count(0.2) == 10
    assert gaps.count(0.1) == len(gaps) - 10


async def test_prompts_share_the_batch_in_order(bench):
    bench.start(prompt=150, tokens=1, name="a")
    _, second = bench.start(prompt=50, tokens=1, name="b")
    await bench.clock.advance(1)
    assert second == [0.2]


async def test_the_semaphore_is_first_come_first_served_and_unbounded(bench):
    order: list[int] = []

    async def queue(number: int) -> None:
        await bench.runner.enter()
        order.append(number)

    tasks = [asyncio.ensure_future(queue(i)) for i in range(1000)]
    await asyncio.sleep(0)
    assert bench.runner.waiting == 996
    tasks[4].cancel()
    await asyncio.sleep(0)
    for _ in range(996):
        bench.runner.leave()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == [i for i in range(1000) if i != 4]


async def test_a_permit_granted_to_one_who_leaves_is_passed_on(bench):
    for _ in range(4):
        await bench.runner.enter()
    first = asyncio.ensure_future(bench.runner.enter())
    second = asyncio.ensure_future(bench.runner.enter())
    await asyncio.sleep(0)
    bench.runner.leave()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await second
    assert bench.runner.waiting == 0


async def test_a_cancelled_stream_ends_with_the_step(bench):
    it, said = bench.start(prompt=1, tokens=100)
    await bench.clock.advance(1)
    heard = len(said)
    it.record.gone_s = bench.clock.now()
    it.cancel()
    bench.runner.poke()
    await bench.clock.advance(5)
    assert it.ended.result() == "cancelled"
    assert len(said) == heard
    assert it.record.tokens_after_gone == 1


async def test_a_cancelled_prefill_ends_with_its_batch(bench):
    it, said = bench.start(prompt=1000)
    await bench.clock.advance(0.25)
    it.cancel()
    bench.runner.poke()
    await bench.clock.advance(0.06)
    assert it.ended.result() == "cancelled"
    assert (it.read, said) == (300, [])


async def test_a_frozen_stream_does_not_hold_up_the_others(bench):
    _, frozen = bench.start(prompt=1, tokens=10, name="a", freeze=(3, float("inf")))
    it, said = bench.start(prompt=1, tokens=10, name="b")
    await bench.clock.advance(30)
    assert len(frozen) == 3
    assert len(said) == 10
    assert it.ended.result() == "stop"


async def test_a_freeze_thaws(bench):
    it, said = bench.start(prompt=1, tokens=4, freeze=(2, 5.0))
    await bench.clock.advance(30)
    assert it.ended.result() == "stop"
    assert said[2] - said[1] == pytest.approx(5.1, abs=0.01)


async def test_a_stuck_runner_gives_no_token_until_it_moves_again(bench):
    bench.runner.stuck = True
    _, said = bench.start()
    await bench.clock.advance(100)
    assert said == []
    bench.runner.stuck = False
    bench.runner.poke()
    await bench.clock.advance(5)
    assert len(said) == 5


async def test_reading_only_ends_with_the_prompt(bench):
    it, said = bench.start(prompt=250, limit=0)
    await bench.clock.advance(1)
    assert (it.ended.result(), said) == ("embedded", [])
    assert it.prefill_s == pytest.approx(0.25)


async def test_peaks_are_kept(bench):
    for name in "abc":
        bench.start(name=name)
    await bench.clock.advance(10)
    assert bench.truth.peaks["m:latest"].slots == 3
