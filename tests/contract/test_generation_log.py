"""What every generation log promises."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace

import pytest

from backend.core.errors import Conflict, NotFound, PoolFull, Superseded, TooLarge
from backend.core.events import Delta, Done, Failed, LogEvent, Origin, Sources, Thinking
from backend.generations.base import (
    START,
    Entry,
    EntryId,
    GenerationId,
    GenerationLog,
    PreparedEnd,
    TakenOver,
    Word,
    Writer,
)
from backend.generations.memory import MemoryLog
from backend.generations.redis import Limits, RedisLog
from backend.infra.redis import open_redis
from tests.support.manual_clock import ManualClock
from tests.support.passages import scored
from tests.support.records import a_record
from tests.support.redis_server import RedisServer, redis_server

DONE = Done("stop")
ORIGIN = Origin("miss", "m", "v1")
RECORD = a_record()
Make = Callable[..., GenerationLog]
Pass = Callable[[float], Awaitable[None]]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture(params=["memory", "redis"])
async def make(request: pytest.FixtureRequest, clock: ManualClock) -> AsyncIterator[Make]:
    """A new, empty log with the bounds that a test needs."""
    if request.param == "memory":
        yield lambda **options: MemoryLog(clock, **options)
        return
    async with open_redis(request.getfixturevalue("server").url, timeout_s=30) as client:
        await client.flushall()
        made = []

        def make(**options) -> RedisLog:
            limits = Limits(**{"lease_s": 5.0, "ack_s": 10.0, **options})
            made.append(RedisLog(client, clock, limits, clock_in_redis=False))
            return made[-1]

        yield make
        for log in made:
            await log.close()


@pytest.fixture
def passes(clock: ManualClock) -> Pass:
    """So many seconds pass for the log."""

    async def advance(seconds: float) -> None:
        clock.advance(seconds)

    return advance


async def begin(log: GenerationLog, key: str | None = None, run: str = "run") -> Writer:
    joined = await log.begin(key, run, RECORD)
    assert joined.writer is not None
    assert joined.writer.generation == joined.generation
    return joined.writer


async def read(log: GenerationLog, generation: GenerationId, after: EntryId = START) -> list[Entry]:
    return [entry async for batch in log.follow(generation, after) for entry in batch]


async def events(log: GenerationLog, generation: GenerationId, after: EntryId = START) -> list[LogEvent]:
    return [entry.event for entry in await read(log, generation, after)]


def text(entries: Sequence[LogEvent]) -> str:
    return "".join(event.text for event in entries if isinstance(event, Delta))


async def taken(log: GenerationLog, writer: Writer, passes: Pass) -> TakenOver:
    """The generation for another, once its writer has been silent for its lease."""
    await passes(6)
    found = await log.takeover(writer.generation)
    assert found is not None
    return found


# who writes


async def test_who_begins_has_the_writer_and_who_joins_has_not(make: Make) -> None:
    log = make()
    first = await log.begin("k", "one", RECORD)
    second = await log.begin("k", "two", RECORD)
    assert first.writer is not None
    assert (second.generation, second.writer) == (first.generation, None)
    assert await first.writer.prepare_end(DONE) == PreparedEnd(DONE, ("one", "two"))


async def test_without_a_key_nothing_is_shared(make: Make) -> None:
    log = make()
    assert (await begin(log)).generation != (await begin(log)).generation


async def test_nobody_joins_once_the_end_is_prepared(make: Make) -> None:
    log = make()
    writer = await begin(log, "k")
    assert await log.will_end(writer.generation, "run")
    await writer.prepare_end(DONE)
    assert not await log.will_end(writer.generation, "run")
    assert (await log.begin("k", "late", RECORD)).writer is not None
    await writer.append([DONE])
    assert not await log.will_end(writer.generation, "run")


async def test_the_end_that_was_prepared_first_stands(make: Make) -> None:
    log = make()
    writer = await begin(log)
    failed = Failed("unavailable", "restarting", retryable=True)
    assert (await writer.prepare_end(failed)).terminal == failed
    assert (await writer.prepare_end(DONE)).terminal == failed


async def test_a_prepared_end_is_not_seen_and_lets_nothing_but_an_end_follow(make: Make) -> None:
    log = make()
    writer = await begin(log)
    await writer.append([Delta("a")])
    await writer.prepare_end(DONE)
    with pytest.raises(Conflict):
        await writer.append([Delta("late")])
    assert not await log.has_ended(writer.generation)
    degraded = replace(DONE, degraded=("history",))
    await writer.append([degraded])
    assert await events(log, writer.generation) == [Delta("a"), degraded]


async def test_nothing_is_written_after_the_end(make: Make) -> None:
    log = make()
    writer = await begin(log)
    await writer.append([DONE])
    for late in (Delta("late"), DONE):
        with pytest.raises(Conflict):
            await writer.append([late])


# who follows


async def test_who_follows_later_sees_the_same_events_in_order(make: Make) -> None:
    log = make()
    writer = await begin(log)
    await writer.append([ORIGIN, Sources(())])
    live = asyncio.ensure_future(events(log, writer.generation))
    for event in (Thinking("a"), Delta("b"), Delta("c"), DONE):
        await writer.append([event])
        await asyncio.sleep(0)
    assert await live == [ORIGIN, Sources(()), Thinking("a"), Delta("b"), Delta("c"), DONE]
    assert await events(log, writer.generation) == [ORIGIN, Sources(()), Thinking("a"), Delta("bc"), DONE]


async def test_neighbouring_text_of_one_channel_is_one_entry_with_the_id_of_the_last(make: Make) -> None:
    log = make()
    writer = await begin(log)
    pieces = [Delta("a"), Delta("b"), Thinking("c"), Thinking("d"), Delta("e"), ORIGIN, ORIGIN, Delta("é")]
    ids = [await writer.append([event]) for event in (*pieces, DONE)]
    whole = await read(log, writer.generation)
    merged = [Delta("ab"), Thinking("cd"), Delta("e"), ORIGIN, ORIGIN, Delta("é"), DONE]
    assert [entry.event for entry in whole] == merged
    assert [entry.id for entry in whole] == [ids[n] for n in (1, 3, 4, 5, 6, 7, 8)]


async def test_a_follower_resumes_after_any_entry_without_a_gap_or_a_repetition(make: Make) -> None:
    log = make()
    writer = await begin(log)
    ids = [await writer.append([Delta(str(n))]) for n in range(5)]
    await writer.append([DONE])
    for place, entry in enumerate(ids):
        assert text(await events(log, writer.generation, entry)) == "01234"[place + 1 :]


async def test_ids_grow_and_survive_the_trip_through_text(make: Make) -> None:
    log = make()
    writer = await begin(log)
    ids = [await writer.append([Delta("x")]) for _ in range(12)]
    assert ids == sorted(set(ids))
    assert min(ids) > START
    assert [EntryId.parse(str(entry)) for entry in ids] == ids


async def test_where_the_answer_comes_from_can_be_asked_at_any_time(make: Make) -> None:
    log = make()
    writer = await begin(log)
    assert await log.origin(writer.generation) is None
    await writer.append([ORIGIN])
    await writer.append([Delta("a"), DONE])
    assert await log.origin(writer.generation) == ORIGIN


async def test_the_end_is_known_by_its_id(make: Make) -> None:
    log = make()
    writer = await begin(log)
    first = await writer.append([Delta("a")])
    assert not await log.has_ended(writer.generation)
    end = await writer.append([DONE])
    assert await log.has_ended(writer.generation)
    assert await log.is_end(writer.generation, end)
    assert not await log.is_end(writer.generation, first)


async def test_an_id_that_was_never_given_is_not_found(make: Make) -> None:
    log = make()
    writer = await begin(log)
    last = await writer.append([Delta("a")])
    for id_ in (EntryId(last.fence, 99), EntryId(last.fence + 6, 1), EntryId(0, 1), EntryId(last.fence, 0)):
        with pytest.raises(NotFound):
            await read(log, writer.generation, id_)
        with pytest.raises(NotFound):
            await log.is_end(writer.generation, id_)


async def test_a_silent_generation_gives_signs_of_life(make: Make) -> None:
    log = make()
    writer = await begin(log)
    async with aclosing(log.follow(writer.generation, idle_s=0.01)) as batches:
        assert [len(await anext(batches)) for _ in range(3)] == [0, 0, 0]


# who leaves


async def test_a_run_that_leaves_others_sees_nothing_more_and_the_others_go_on(make: Make) -> None:
    log = make()
    writer = await begin(log, "k", run="one")
    await log.begin("k", "two", RECORD)
    await writer.append([Delta("a")])
    assert await log.leave(writer.generation, "one")
    assert [await log.will_end(writer.generation, run) for run in ("one", "two", "never")] == [
        False,
        True,
        False,
    ]
    assert await writer.renew() is Word.GO_ON
    await writer.append([Delta("b")])
    assert (await writer.prepare_end(DONE)).runs == ("two",)
    await writer.append([DONE])
    left = [e.event async for batch in log.follow(writer.generation, run="one") for e in batch]
    stayed = [e.event async for batch in log.follow(writer.generation, run="two") for e in batch]
    assert left == [Delta("a")]
    assert stayed == [Delta("ab"), DONE]


async def test_the_last_run_stays_and_its_writer_is_told_to_stop_and_nobody_joins(make: Make) -> None:
    log = make()
    writer = await begin(log, key="k", run="only")
    assert not await log.leave(writer.generation, "only")
    assert (await log.begin("k", "late", RECORD)).writer is not None
    assert await writer.renew() is Word.STOP
    assert (await writer.prepare_end(DONE)).runs == ("only",)


async def test_a_waiting_follower_wakes_when_its_run_leaves(make: Make) -> None:
    log = make()
    writer = await begin(log, "k", run="one")
    await log.begin("k", "two", RECORD)

    async def follow() -> None:
        async for _ in log.follow(writer.generation, run="one"):
            pass

    waiting = asyncio.ensure_future(follow())
    await asyncio.sleep(0)
    await log.leave(writer.generation, "one")
    await asyncio.wait_for(waiting, 10)


async def test_what_nobody_follows_is_abandoned_and_what_is_followed_is_not(make: Make, passes: Pass) -> None:
    log = make(abandon_after_s=15)
    writer = await begin(log, "k")
    async with aclosing(log.follow(writer.generation, idle_s=0.01)) as batches:
        await anext(batches)
        await passes(16)
        assert await writer.renew() is Word.GO_ON
    assert await writer.renew() is Word.GO_ON, "the time counts from the moment the last one left"
    await passes(16)
    assert await writer.renew() is Word.ABANDONED
    assert (await log.begin("k", "late", RECORD)).writer is not None, "nobody joins what is being stopped"


# who takes over


async def test_a_writer_that_renews_keeps_its_generation(make: Make, passes: Pass) -> None:
    log = make(lease_s=5)
    writer = await begin(log)
    for _ in range(4):
        await passes(4)
        assert list(await log.lapsed()) == []
        assert await log.takeover(writer.generation) is None
        await writer.renew()


async def test_who_takes_over_has_what_was_noted_last_and_all_entries(make: Make, passes: Pass) -> None:
    log = make(lease_s=5)
    writer = await begin(log)
    noted = replace(RECORD, passages=scored("The library opens at nine."), degraded=("dense",))
    await writer.append([ORIGIN])
    await writer.note(noted)
    ids = [await writer.append([Delta(piece)]) for piece in ("a", "b")]
    await passes(6)
    assert list(await log.lapsed()) == [writer.generation]
    found = await log.takeover(writer.generation)
    assert found is not None
    assert found.record == noted
    assert [entry.event for entry in found.entries] == [ORIGIN, Delta("a"), Delta("b")]
    assert [entry.id for entry in found.entries[1:]] == ids
    assert found.prepared is None


async def test_what_a_writer_releases_is_taken_over_at_once(make: Make) -> None:
    log = make(lease_s=5)
    writer = await begin(log)
    await writer.append([ORIGIN, Delta("a")])
    assert await log.takeover(writer.generation) is None
    await writer.release()
    assert list(await log.lapsed()) == [writer.generation]
    found = await log.takeover(writer.generation)
    assert found is not None
    await found.writer.append([Delta("b"), DONE])
    assert text(await events(log, writer.generation)) == "ab"
    with pytest.raises(Superseded):
        await writer.release()


async def test_one_takes_over_and_only_one(make: Make, passes: Pass) -> None:
    log = make(lease_s=5)
    writer = await begin(log)
    await passes(6)
    found = await asyncio.gather(*(log.takeover(writer.generation) for _ in range(5)))
    assert sum(one is not None for one in found) == 1


async def test_whatever_a_writer_does_that_was_taken_over_is_refused(make: Make, passes: Pass) -> None:
    log = make(lease_s=5)
    writer = await begin(log)
    await writer.append([Delta("a")])
    new = (await taken(log, writer, passes)).writer
    for write in (writer.append([Delta("b")]), writer.note(RECORD), writer.prepare_end(DONE), writer.renew()):
        with pytest.raises(Superseded):
            await write
    await new.append([Delta("c"), DONE])
    assert await events(log, writer.generation) == [Delta("ac"), DONE]


async def test_a_follower_sees_one_log_whoever_writes_it_and_resumes_anywhere(
    make: Make, passes: Pass
) -> None:
    log = make(lease_s=5)
    writer = await begin(log)
    live = asyncio.ensure_future(events(log, writer.generation))
    await asyncio.sleep(0)
    ids, said = [], "abcdefgh"
    for n, piece in enumerate(said):
        if n in (3, 4, 6):
            writer = (await taken(log, writer, passes)).writer
        ids.append(await writer.append([Delta(piece)]))
    writer = (await taken(log, writer, passes)).writer
    end = await writer.append([DONE])
    assert [*ids, end] == sorted({*ids, end}), "ids grow over all fences"
    assert text(await live) == said
    for place, entry in enumerate(ids):
        assert text(await events(log, writer.generation, entry)) == said[place + 1 :]
    assert await log.is_end(writer.generation, end)


async def test_who_takes_over_finds_the_end_that_was_prepared(make: Make, passes: Pass) -> None:
    log = make(lease_s=5)
    writer = await begin(log, run="one")
    await writer.prepare_end(DONE)
    found = await taken(log, writer, passes)
    assert found.prepared == DONE
    assert await found.writer.prepare_end(Done("length")) == PreparedEnd(DONE, ("one",))


async def test_what_has_ended_or_never_was_is_not_taken_over(make: Make, passes: Pass) -> None:
    log = make(lease_s=5)
    writer = await begin(log)
    await writer.append([DONE])
    await passes(6)
    assert list(await log.lapsed()) == []
    assert await log.takeover(writer.generation) is None
    assert await log.takeover(GenerationId("never")) is None


async def test_the_last_run_may_leave_while_nobody_writes(make: Make, passes: Pass) -> None:
    log = make(lease_s=5)
    writer = await begin(log, run="only")
    await passes(6)
    assert not await log.leave(writer.generation, "only")
    assert await (await taken(log, writer, passes)).writer.renew() is Word.STOP


# what is kept


async def test_an_ended_log_is_kept_for_its_retention_and_then_gone(make: Make, passes: Pass) -> None:
    log = make(retention_s=600)
    writer = await begin(log)
    await writer.append([DONE])
    await passes(599)
    await begin(log)
    assert len(await read(log, writer.generation)) == 1
    await passes(2)
    await begin(log)
    with pytest.raises(NotFound):
        await read(log, writer.generation)


async def test_a_log_is_bounded_but_always_takes_its_end(make: Make) -> None:
    log = make(max_log_bytes=10_000)
    writer = await begin(log)
    await writer.append([Delta("x" * 5000)])
    with pytest.raises(TooLarge):
        await writer.append([Delta("x" * 5000)])
    await writer.append([Failed("too_large", "too long", retryable=False)])
    assert await log.has_ended(writer.generation)


async def test_live_generations_are_bounded(make: Make) -> None:
    log = make(max_live=2)
    first = await begin(log)
    await begin(log)
    with pytest.raises(PoolFull):
        await begin(log)
    await first.append([DONE])
    await begin(log)


@pytest.mark.parametrize(
    "text", ["", "1", "1-", "-1", "1-2-3", "01-2", "1-02", "a-b", "١-٢", "1-" + "9" * 20]
)
def test_a_malformed_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="entry id"):
        EntryId.parse(text)
