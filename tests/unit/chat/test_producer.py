"""Every answer has one end, and every turn is closed, whatever happens at the same time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, cast

import pytest

from backend.chat.answer import Answerer
from backend.chat.outbox import Outbox
from backend.chat.producer import BackgroundProducer
from backend.chat.turns import Turns
from backend.chat.voice import Voice
from backend.core.errors import EngineTruncated, LibriError, LogUnavailable, PoolFull, StorageUnavailable
from backend.core.events import Delta, Done, Failed, Origin
from backend.generations.base import GenerationId, Joined, Writer
from backend.generations.memory import MemoryLog
from backend.history.base import Owner
from backend.history.memory import MemoryHistory
from backend.telemetry.metrics import Metrics
from tests.support.manual_clock import ManualClock
from tests.support.records import a_record

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

    async def answer(self, voice: Voice) -> Done:
        await voice.comes_from("miss")
        await self.go.wait()
        if self.error:
            raise self.error
        await voice.say("Said.")
        await voice.rest()
        return voice.done("stop")


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.log = MemoryLog(self.clock)
        self.history = SlowHistory(self.clock)
        self.answer = Answer()
        self.producer = self.another()

    def another(self) -> BackgroundProducer:
        """The producer of one process; several may share the log."""
        return BackgroundProducer(
            answerer=cast(Answerer, self.answer),
            turns=Turns(history=self.history, generations=self.log, outbox=Outbox()),
            generations=self.log,
            metrics=Metrics(),
            clock=self.clock,
        )

    async def begin(self) -> Joined:
        now = self.clock.now()
        self.record = a_record(began=now, deadline=now + 60)
        joined = await self.log.begin("k", "r1", self.record)
        self.conversation = await self.history.begin(ME, None, "r1", "?")
        return joined

    async def start(self) -> GenerationId:
        joined = await self.begin()
        assert joined.writer is not None
        self.producer.start(joined.writer, self.record)
        return joined.generation

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
    assert (await bench.log.begin("k", "late", bench.record)).writer is not None
    bench.history.let.set()
    assert [event.name for event in await bench.ended(generation)] == ["done"]


async def test_a_stop_while_the_turn_is_being_kept_does_not_lose_it(bench: Bench) -> None:
    generation = await bench.start()
    sweeping = asyncio.ensure_future(bench.producer.sweep(every_s=0.001))
    bench.answer.go.set()
    await bench.history.reached.wait()
    await bench.log.leave(generation, "r1")
    await asyncio.sleep(0.02)
    bench.history.let.set()
    assert len(await bench.ended(generation)) == 1
    assert await bench.state() == "done"
    sweeping.cancel()


async def test_the_last_reader_who_stops_ends_the_answer_soon(bench: Bench) -> None:
    bench.history.let.set()
    generation = await bench.start()
    sweeping = asyncio.ensure_future(bench.producer.sweep(every_s=0.001))
    await bench.log.leave(generation, "r1")
    async with asyncio.timeout(10):
        (end,) = await bench.ended(generation)
    assert isinstance(end, Done)
    assert end.finish_reason == "stopped"
    assert await bench.state() == "stopped"
    sweeping.cancel()


async def test_what_nobody_follows_is_stopped(bench: Bench) -> None:
    bench.history.let.set()
    generation = await bench.start()
    sweeping = asyncio.ensure_future(bench.producer.sweep(every_s=0.001))
    bench.clock.advance(bench.log.abandon_after_s + 1)
    async with asyncio.timeout(10):
        while not await bench.log.has_ended(generation):
            await asyncio.sleep(0.001)
    assert await bench.state() == "stopped"
    sweeping.cancel()


async def test_the_end_of_the_process_ends_the_answer_honestly(bench: Bench) -> None:
    generation = await bench.start()
    await asyncio.sleep(0)
    bench.history.let.set()
    await bench.producer.close(0.01)
    (end,) = await bench.ended(generation)
    assert isinstance(end, Failed)
    assert end.retryable
    assert await bench.state() == "failed"


class SharedWriter:
    """A writer of a log that outlives the process; it has all that was written once it `can_release`."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self.can_release = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)


async def test_an_answer_is_handed_over_once_the_log_has_all_of_it(bench: Bench) -> None:
    joined = await bench.begin()
    assert joined.writer is not None
    writer = SharedWriter(joined.writer)
    bench.producer.start(cast(Writer, writer), bench.record)
    closing = asyncio.ensure_future(bench.producer.close(30))
    await asyncio.sleep(0.15)
    assert not closing.done(), "it goes on here meanwhile"
    writer.can_release = True
    async with asyncio.timeout(5):
        await closing
    taken = await bench.log.takeover(joined.generation)
    assert taken is not None
    assert taken.prepared is None
    assert [entry.event.name for entry in taken.entries] == ["origin"]


async def test_a_hand_over_that_is_not_heard_leaves_the_answer_to_its_lease(bench: Bench) -> None:
    class Unheard(SharedWriter):
        async def release(self) -> None:
            raise LogUnavailable("late")

    joined = await bench.begin()
    assert joined.writer is not None
    writer = Unheard(joined.writer)
    writer.can_release = True
    bench.producer.start(cast(Writer, writer), bench.record)
    await asyncio.sleep(0.05)
    async with asyncio.timeout(5):
        await bench.producer.close(30)
    bench.clock.advance(6)
    taken = await bench.log.takeover(joined.generation)
    assert taken is not None, "it has no end yet"
    assert taken.prepared is None
    assert [entry.event.name for entry in taken.entries] == ["origin"]


async def test_an_answer_that_nobody_could_go_on_with_ends_here(bench: Bench) -> None:
    bench.history.let.set()
    joined = await bench.begin()
    assert joined.writer is not None
    bench.producer.start(cast(Writer, SharedWriter(joined.writer)), bench.record)
    asyncio.get_running_loop().call_later(0.15, bench.answer.go.set)
    await bench.producer.close(30)
    assert [event.name for event in await bench.ended(joined.generation)] == ["done"]


async def test_an_answer_that_is_stopped_before_its_first_step_has_its_end_too(bench: Bench) -> None:
    bench.history.let.set()
    generation = await bench.start()
    await bench.producer.close(0)  # nothing has had a turn of the loop yet
    whole = [entry.event async for batch in bench.log.follow(generation) for entry in batch]
    assert [event.name for event in whole] == ["origin", "error"]
    assert isinstance(whole[0], Origin)
    assert await bench.state() == "failed"


async def test_an_answer_that_nobody_began_to_say_is_said_by_who_finds_it(bench: Bench) -> None:
    bench.history.let.set()
    bench.answer.go.set()
    joined = await bench.begin()  # and whoever had the writer is gone
    sweeping = asyncio.ensure_future(bench.producer.sweep(every_s=0.001))
    await asyncio.sleep(0.02)
    assert not await bench.log.has_ended(joined.generation), "its writer may yet begin"
    bench.clock.advance(bench.log.lease_s + 1)
    async with asyncio.timeout(10):
        (end,) = await bench.ended(joined.generation)
    assert end.name == "done"
    assert await bench.state() == "done"
    sweeping.cancel()


async def test_a_process_that_stood_still_leaves_its_answer_to_who_took_it_over(bench: Bench) -> None:
    bench.history.let.set()
    generation = await bench.start()
    await asyncio.sleep(0)
    bench.clock.advance(bench.log.lease_s + 1)
    other = bench.another()
    taking = asyncio.ensure_future(other.sweep(every_s=0.001))
    await asyncio.sleep(0.02)
    waking = asyncio.ensure_future(bench.producer.sweep(every_s=0.001))
    await asyncio.sleep(0.02)
    bench.answer.go.set()
    async with asyncio.timeout(10):
        assert [end.name for end in await bench.ended(generation)] == ["done"]
    assert (await bench.history.turns(ME, bench.conversation))[0].answer == "Said."
    for sweeping in (taking, waking):
        sweeping.cancel()
    await bench.producer.close(0)
    await other.close(0)


async def test_who_finds_an_end_prepared_repeats_only_the_rest(bench: Bench) -> None:
    bench.history.let.set()
    joined = await bench.begin()
    writer = joined.writer
    assert writer is not None
    await writer.append([Origin("miss", "m", "v"), Delta("Said by the first.")])
    await writer.prepare_end(Done("stop", citations=(1,)))
    bench.clock.advance(bench.log.lease_s + 1)
    sweeping = asyncio.ensure_future(bench.producer.sweep(every_s=0.001))
    async with asyncio.timeout(10):
        (end,) = await bench.ended(joined.generation)
    assert end == Done("stop", citations=(1,))
    (turn,) = await bench.history.turns(ME, bench.conversation)
    assert (turn.state, turn.answer, turn.citations) == ("done", "Said by the first.", (1,))
    sweeping.cancel()


async def test_an_answer_that_takes_too_long_ends_in_an_error(bench: Bench) -> None:
    bench.history.let.set()
    joined = await bench.begin()
    assert joined.writer is not None
    bench.producer.start(joined.writer, replace(bench.record, deadline=bench.clock.now() + 0.01))
    async with asyncio.timeout(10):
        (end,) = await bench.ended(joined.generation)
    assert isinstance(end, Failed)
    assert end.code == "deadline_exceeded"


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


async def test_who_is_refused_before_a_word_is_told_at_once(
    bench: Bench,
) -> None:
    bench.answer.error = PoolFull("too many ask")
    generation = await bench.start()
    bench.answer.go.set()
    async with asyncio.timeout(1):  # below what the end of an answer may wait for its turn
        (end,) = await bench.ended(generation)
    assert isinstance(end, Failed)
    assert end.code == "pool_full"
    assert await bench.state() == "running"
    bench.history.let.set()
    async with asyncio.timeout(10):
        while await bench.state() != "failed":
            await asyncio.sleep(0.01)
