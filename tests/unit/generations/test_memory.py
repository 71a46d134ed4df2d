"""What logs weigh in a process, that they are counted so, and what goes when they are too many."""

from __future__ import annotations

import gc
import tracemalloc

import pytest

from backend.core.clock import SystemClock
from backend.core.errors import NotFound, PoolFull
from backend.core.events import Delta, Done, LogEvent, Origin, Source, Sources
from backend.generations.base import GenerationId, Writer
from backend.generations.memory import LOG_BYTES, MemoryLog
from tests.support.manual_clock import ManualClock
from tests.support.records import a_record

TOKENS = 300
SIX = Sources(
    tuple(
        Source(n, f"d{n}" * 8, f"Title {n}", n, 0.5, f"r{n}" * 8, f"p{n}" * 8, f"a/{n}.md", "A > B", 9, 99)
        for n in range(6)
    )
)


async def begin(log: MemoryLog, number: int = 0) -> Writer:
    writer = (await log.begin(f"k{number}", f"run{number:030}", a_record())).writer
    assert writer is not None
    return writer


async def an_answer(log: MemoryLog, number: int, *, tokens: int = TOKENS, ends: bool = True) -> GenerationId:
    writer = await begin(log, number)
    opening: list[LogEvent] = [Origin("miss", "m", "v"), SIX]
    await writer.append(opening)
    for n in range(tokens):
        await writer.append([Delta(f" w{n:03}")])
    if ends:
        await writer.append([Done("stop")])
    return writer.generation


@pytest.mark.parametrize("ends", [True, False], ids=["ended", "running"])
@pytest.mark.parametrize("tokens", [0, TOKENS])
async def test_a_log_is_counted_as_what_it_weighs(tokens: int, *, ends: bool) -> None:
    log = MemoryLog(SystemClock())
    for number in range(20):
        await an_answer(log, number, tokens=tokens, ends=ends)
    before, many = log.size_bytes, 200
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(100, 100 + many):
            await an_answer(log, number, tokens=tokens, ends=ends)
        weighs = tracemalloc.get_traced_memory()[0] / many
    finally:
        tracemalloc.stop()
    counted = (log.size_bytes - before) / many
    assert 0.75 * weighs <= counted <= 1.35 * weighs


async def test_a_token_weighs_its_text_and_five_bytes() -> None:
    log = MemoryLog(ManualClock())
    writer = await begin(log)
    before = log.size_bytes
    for n in range(TOKENS):
        await writer.append([Delta(f" w{n:03}")])
    assert log.size_bytes - before == TOKENS * (5 + 5)


async def test_the_oldest_ended_logs_make_room_and_running_ones_never() -> None:
    log = MemoryLog(ManualClock(), max_bytes=20 * LOG_BYTES)
    running = await an_answer(log, 0, tokens=5, ends=False)
    ended = [await an_answer(log, number, tokens=5) for number in range(1, 40)]
    assert log.size_bytes <= log.max_bytes
    kept = [generation for generation in ended if await is_kept(log, generation)]
    assert kept == ended[-len(kept) :]
    assert 2 <= len(kept) < len(ended)
    assert await is_kept(log, running)


async def test_a_long_answer_makes_room_for_itself() -> None:
    log = MemoryLog(ManualClock(), max_bytes=20 * LOG_BYTES)
    ended = [await an_answer(log, number, tokens=5) for number in range(5)]
    writer = await begin(log, 99)
    for _ in range(200):
        await writer.append([Delta("x" * 200)])
    assert not any([await is_kept(log, generation) for generation in ended])
    await writer.append([Done("stop")])


async def test_no_answer_begins_where_running_ones_take_all_the_room() -> None:
    log = MemoryLog(ManualClock(), max_bytes=20 * LOG_BYTES)
    writer = await begin(log)
    await writer.append([Delta("x" * log.max_bytes)])
    with pytest.raises(PoolFull):
        await begin(log, 1)
    assert not await log.has_ended(writer.generation)
    await writer.append([Done("stop")])
    await begin(log, 1)


async def test_all_that_is_counted_is_given_back() -> None:
    log = MemoryLog(clock := ManualClock(), retention_s=60)
    for number in range(10):
        writer = await begin(log, number)
        for run in ("two", "three"):
            await log.begin(f"k{number}", run, a_record())
        await writer.note(a_record(passages=()))
        await writer.append([Delta("x")])
        await log.leave(writer.generation, "two")
        await writer.prepare_end(Done("stop"))
        await writer.append([Done("stop")])
        await log.leave(writer.generation, "three")
    clock.advance(61)
    await begin(log)
    alone = MemoryLog(clock)
    await begin(alone)
    assert log.size_bytes == alone.size_bytes


async def is_kept(log: MemoryLog, generation: GenerationId) -> bool:
    try:
        await log.has_ended(generation)
    except NotFound:
        return False
    return True
