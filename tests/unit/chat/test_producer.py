"""Every answer has one end, and every turn is closed, whatever happens at the same time."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from backend.chat.answer import Answerer
from backend.chat.base import RequestRecord
from backend.chat.draft import Draft
from backend.chat.producer import BackgroundProducer
from backend.core.errors import EngineTruncated, LibriError, StorageUnavailable
from backend.core.events import Done, Failed
from backend.core.types import Sampling
from backend.generations.base import GenerationId
from backend.generations.memory import MemoryLog
from backend.history.base import Owner
from backend.history.memory import MemoryHistory
from backend.telemetry.metrics import Metrics
from tests.support.manual_clock import ManualClock

ME = Owner("t", "s")


class SlowHistory(MemoryHistory):
    """A history whose `finish` waits until it is let through."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.let = asyncio.Event()
        self.reached = asyncio.Event()
        self.error: LibriError | None = None

    async def finish(self, *arguments: Any, **named: Any) -> None:
        self.reached.set()
        await self.let.wait()
        if self.error:
            raise self.error
        await super().finish(*arguments, **named)


class Answer:
    """Stands in for the use case: waits, then ends as it is told."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.error: Exception | None = None

    async def answer(self, draft: Draft) -> Done:
        await self.go.wait()
        if self.error:
            raise self.error
        return draft.done("stop")


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.log = MemoryLog(self.clock)
        self.history = SlowHistory(self.clock)
        self.answer = Answer()
        self.producer = BackgroundProducer(
            answerer=cast(Answerer, self.answer),
            generations=self.log,
            history=self.history,
            metrics=Metrics(),
            clock=self.clock,
        )

    async def start(self) -> GenerationId:
        generation = (await self.log.start_or_join("k")).generation
        await self.log.attach(generation, "r1")
        self.conversation = await self.history.begin(ME, None, "r1", "?")
        now = self.clock.monotonic()
        self.producer.start(
            RequestRecord(
                generation=generation, run="r1", owner=ME, corpora=(), question="?", standalone="?",
                language="en", history=(), model="m", sampling=Sampling(0, 10), began=now, deadline=now + 60,
            )
        )  # fmt: skip
        await asyncio.sleep(0)
        return generation

    async def ended(self, generation: GenerationId) -> list[Done | Failed]:
        events = [e.event async for batch in self.log.follow(generation) for e in batch]
        return [event for event in events if isinstance(event, Done | Failed)]

    async def state(self) -> str:
        return (await self.history.turns(ME, self.conversation))[0].state


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_nobody_joins_once_the_turn_is_being_kept(bench: Bench) -> None:
    generation = await bench.start()
    bench.answer.go.set()
    await bench.history.reached.wait()
    assert (await bench.log.start_or_join("k")).began
    bench.history.let.set()
    assert [event.name for event in await bench.ended(generation)] == ["done"]


async def test_a_stop_while_the_turn_is_being_kept_does_not_lose_it(bench: Bench) -> None:
    generation = await bench.start()
    bench.answer.go.set()
    await bench.history.reached.wait()
    bench.producer.stop(generation)
    await asyncio.sleep(0)
    bench.history.let.set()
    assert len(await bench.ended(generation)) == 1
    assert await bench.state() == "done"


async def test_the_end_of_the_process_ends_the_answer_honestly(bench: Bench) -> None:
    generation = await bench.start()
    bench.history.let.set()
    await bench.producer.close(0.01)
    (end,) = await bench.ended(generation)
    assert isinstance(end, Failed)
    assert end.retryable
    assert await bench.state() == "failed"


@pytest.mark.parametrize("error", [EngineTruncated("cut"), ValueError("a defect")])
async def test_whatever_goes_wrong_there_is_one_end(bench: Bench, error: Exception) -> None:
    bench.answer.error = error
    generation = await bench.start()
    bench.answer.go.set()
    bench.history.let.set()
    (end,) = await bench.ended(generation)
    assert isinstance(end, Failed)
    assert end.code == ("engine_truncated" if isinstance(error, LibriError) else "internal")


async def test_a_turn_that_cannot_be_kept_does_not_keep_the_end_away(bench: Bench) -> None:
    bench.history.error = StorageUnavailable()
    generation = await bench.start()
    bench.answer.go.set()
    bench.history.let.set()
    assert [event.name for event in await bench.ended(generation)] == ["done"]
