"""What every generation log promises."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing

import pytest

from backend.core.errors import Conflict, NotFound, PoolFull, TooLarge
from backend.core.events import Delta, Done, Failed
from backend.generations.base import START, Entry, EntryId, GenerationId, GenerationLog
from backend.generations.memory import MemoryLog
from tests.support.manual_clock import ManualClock

DONE = Done("stop")
Make = Callable[..., GenerationLog]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["memory"])
def make(request: pytest.FixtureRequest, clock: ManualClock) -> Make:
    return lambda **options: MemoryLog(clock, **options)


async def begin(log: GenerationLog, key: str | None = None, run: str = "run") -> GenerationId:
    joined = await log.start_or_join(key)
    await log.attach(joined.generation, run)
    return joined.generation


async def read(log: GenerationLog, generation: GenerationId, after: EntryId = START) -> list[Entry]:
    return [entry async for batch in log.follow(generation, after) for entry in batch]


async def test_who_follows_later_sees_the_same_events_in_order(make: Make) -> None:
    log = make()
    generation = await begin(log)
    await log.append(generation, [Delta("a"), Delta("b")])
    live = asyncio.ensure_future(read(log, generation))
    await log.append(generation, [Delta("c")])
    await log.append(generation, [DONE])
    assert [entry.event for entry in await live] == [Delta("a"), Delta("b"), Delta("c"), DONE]
    assert await read(log, generation) == await live


async def test_a_follower_resumes_after_any_entry_without_a_gap_or_a_repetition(make: Make) -> None:
    log = make()
    generation = await begin(log)
    await log.append(generation, [Delta(str(n)) for n in range(5)])
    await log.append(generation, [DONE])
    whole = await read(log, generation)
    for place, entry in enumerate(whole):
        assert await read(log, generation, entry.id) == whole[place + 1 :]


async def test_ids_grow_and_survive_the_trip_through_text(make: Make) -> None:
    log = make()
    generation = await begin(log)
    ids = [await log.append(generation, [Delta("x")]) for _ in range(12)]
    assert ids == sorted(ids)
    assert [EntryId.parse(str(entry)) for entry in ids] == ids


async def test_two_with_the_same_key_share_a_generation_until_it_ends(make: Make) -> None:
    log = make()
    first, second = await log.start_or_join("k"), await log.start_or_join("k")
    assert (first.began, second.began) == (True, False)
    assert first.generation == second.generation
    await log.append(first.generation, [DONE])
    assert (await log.start_or_join("k")).began


async def test_without_a_key_nothing_is_shared(make: Make) -> None:
    log = make()
    assert (await log.start_or_join(None)).generation != (await log.start_or_join(None)).generation


async def test_nothing_is_written_after_the_end(make: Make) -> None:
    log = make()
    generation = await begin(log)
    await log.append(generation, [DONE])
    with pytest.raises(Conflict):
        await log.append(generation, [Delta("late")])
    with pytest.raises(Conflict):
        await log.append(generation, [DONE])


async def test_the_end_is_known_by_its_id(make: Make) -> None:
    log = make()
    generation = await begin(log)
    first = await log.append(generation, [Delta("a")])
    assert not await log.has_ended(generation)
    end = await log.append(generation, [DONE])
    assert await log.has_ended(generation)
    assert await log.is_end(generation, end)
    assert not await log.is_end(generation, first)


async def test_a_run_that_leaves_others_sees_nothing_more_and_the_others_go_on(make: Make) -> None:
    log = make()
    generation = await begin(log, run="one")
    await log.attach(generation, "two")
    await log.append(generation, [Delta("a")])
    assert await log.leave(generation, "one")
    await log.append(generation, [Delta("b"), DONE])
    left = [e.event async for batch in log.follow(generation, run="one") for e in batch]
    stayed = [e.event async for batch in log.follow(generation, run="two") for e in batch]
    assert left == [Delta("a")]
    assert stayed == [Delta("a"), Delta("b"), DONE]
    assert list(await log.runs(generation)) == ["two"]


async def test_the_last_run_cannot_leave_and_nobody_joins_it_any_more(make: Make) -> None:
    log = make()
    generation = await begin(log, key="k", run="only")
    assert not await log.leave(generation, "only")
    assert list(await log.runs(generation)) == ["only"]
    assert (await log.start_or_join("k")).began


async def test_a_log_is_open_until_its_end_is_prepared(make: Make) -> None:
    log = make()
    generation = await begin(log, key="k")
    assert await log.is_open(generation)
    await log.close_to_others(generation)
    assert not await log.is_open(generation)
    assert (await log.start_or_join("k")).began
    await log.append(generation, [DONE])
    assert not await log.is_open(generation)


async def test_a_waiting_follower_wakes_when_its_run_leaves(make: Make) -> None:
    log = make()
    generation = await begin(log, run="one")
    await log.attach(generation, "two")

    async def follow() -> None:
        async for _ in log.follow(generation, run="one"):
            pass

    waiting = asyncio.ensure_future(follow())
    await asyncio.sleep(0)
    await log.leave(generation, "one")
    await asyncio.wait_for(waiting, 10)


async def test_a_silent_generation_gives_signs_of_life(make: Make) -> None:
    log = make()
    generation = await begin(log)
    async with aclosing(log.follow(generation, idle_s=0.01)) as batches:
        assert [len(await anext(batches)) for _ in range(3)] == [0, 0, 0]


async def test_what_nobody_follows_is_abandoned_and_what_is_followed_is_not(
    make: Make, clock: ManualClock
) -> None:
    log = make(abandon_after_s=15)
    lonely, followed = await begin(log), await begin(log)
    async with aclosing(log.follow(followed, idle_s=0.01)) as batches:
        await anext(batches)
        clock.advance(16)
        assert list(await log.abandoned()) == [lonely]
    assert list(await log.abandoned()) == [lonely], "the time counts from the moment the last one left"
    clock.advance(16)
    assert set(await log.abandoned()) == {lonely, followed}


async def test_an_ended_log_is_kept_for_its_retention_and_then_gone(make: Make, clock: ManualClock) -> None:
    log = make(retention_s=600)
    generation = await begin(log)
    await log.append(generation, [DONE])
    clock.advance(599)
    await log.start_or_join(None)
    assert len(await read(log, generation)) == 1
    clock.advance(2)
    await log.start_or_join(None)
    with pytest.raises(NotFound):
        await read(log, generation)


async def test_an_id_that_was_never_given_is_not_found(make: Make) -> None:
    log = make()
    generation = await begin(log)
    await log.append(generation, [Delta("a")])
    for id_ in (EntryId(1, 99), EntryId(7, 1)):
        with pytest.raises(NotFound):
            await read(log, generation, id_)
        with pytest.raises(NotFound):
            await log.is_end(generation, id_)


async def test_a_log_is_bounded_but_always_takes_its_end(make: Make) -> None:
    log = make(max_log_bytes=10_000)
    generation = await begin(log)
    await log.append(generation, [Delta("x" * 5000)])
    with pytest.raises(TooLarge):
        await log.append(generation, [Delta("x" * 5000)])
    await log.append(generation, [Failed("too_large", "too long", retryable=False)])
    assert await log.has_ended(generation)


async def test_live_generations_are_bounded(make: Make) -> None:
    log = make(max_live=2)
    first = await begin(log)
    await begin(log)
    with pytest.raises(PoolFull):
        await log.start_or_join(None)
    await log.append(first, [DONE])
    await log.start_or_join(None)


@pytest.mark.parametrize(
    "text", ["", "1", "1-", "-1", "1-2-3", "01-2", "1-02", "a-b", "١-٢", "1-" + "9" * 20]
)
def test_a_malformed_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="entry id"):
        EntryId.parse(text)
