"""A process dies in the middle of an answer: another goes on, and the reader sees one answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from backend.chat.transcript import Transcript
from backend.chat.voice import source_of
from backend.core.errors import EngineUnreachable, RetrievalUnavailable
from backend.core.events import Delta, Done, LogEvent, Origin, Replace, Sources, Thinking
from backend.engines.base import Resumed, Text, Thought
from backend.engines.scripted import ScriptedEngine, recite
from backend.generations.base import GenerationId, Writer
from tests.support.answering import PASSAGES, Desk, Shelf, a_desk, ends

ANSWER = "It opens at nine [1], and closes late."
ORIGIN = Origin("miss", "m", "v")


def engine(*scripts) -> ScriptedEngine:
    return ScriptedEngine(*scripts, models=("m",))


@asynccontextmanager
async def another_goes_on(desk: Desk) -> AsyncIterator[None]:
    """The first writer is silent for its lease; another process looks after the log."""
    desk.clock.advance(desk.log.lease_s + 1)
    sweeping = asyncio.ensure_future(desk.producer.sweep(every_s=0.001))
    yield
    sweeping.cancel()


async def died(desk: Desk, *said: LogEvent, shown: bool = True, **noted: object) -> GenerationId:
    """A generation whose process has said so much, and is gone."""
    joined = await desk.begin()
    writer = joined.writer
    assert writer is not None
    await writer.append([ORIGIN])
    if shown or noted:
        await writer.note(replace(desk.record, **{"passages": PASSAGES, **noted}))
    if shown:
        await writer.append([sources()])
    for event in said:
        await writer.append([event])
    return joined.generation


def sources() -> Sources:
    return Sources(tuple(source_of(n, one) for n, one in enumerate(PASSAGES, 1)))


async def seen_by_a_follower(desk: Desk, generation: GenerationId) -> Transcript:
    following = asyncio.ensure_future(desk.read(generation))
    await asyncio.sleep(0)
    async with another_goes_on(desk), asyncio.timeout(10):
        entries = await following
    assert len(ends(entries)) == 1
    ids = [entry.id for entry in entries]
    assert ids == sorted(set(ids))
    return Transcript.of(entry.event for entry in entries)


@pytest.mark.parametrize("pieces", [1, 3, 6, 9])
async def test_a_follower_sees_the_whole_answer_and_nothing_twice(pieces: int) -> None:
    words = [f"{word} " for word in ANSWER.split(" ")]
    said = [*words[:-1], words[-1].strip()][:pieces]
    async with a_desk(engine(recite(ANSWER))) as desk:
        generation = await died(desk, *map(Delta, said))
        shown = await seen_by_a_follower(desk, generation)
        turn = await desk.turn()
    assert shown.answer == ANSWER
    assert shown.citations == (1,)
    assert (turn.answer, turn.state, turn.citations) == (ANSWER, "done", (1,))


async def test_nobody_looks_again_for_sources_that_a_reader_has_seen() -> None:
    async with a_desk(engine(recite(ANSWER)), shelf=(shelf := Shelf(passages=()))) as desk:
        generation = await died(desk, Delta("It opens"))
        shown = await seen_by_a_follower(desk, generation)
        assert shelf.asked == 0
        assert [source.passage for source in shown.sources] == ["p1", "p2"]
        assert "opens at nine" in desk.engine.requests[0][1].messages[-1].content


async def test_sources_that_were_found_and_not_shown_are_shown_by_who_goes_on() -> None:
    async with a_desk(engine(recite(ANSWER)), shelf=(shelf := Shelf(passages=()))) as desk:
        generation = await died(desk, shown=False, passages=PASSAGES, degraded=("dense",))
        shown = await seen_by_a_follower(desk, generation)
    assert (shelf.asked, len(shown.sources)) == (0, 2)
    assert shown.degraded == ("dense",)
    assert shown.answer == ANSWER


async def test_who_finds_nothing_looked_for_begins_at_the_beginning() -> None:
    async with a_desk(engine(recite(ANSWER))) as desk:
        generation = await died(desk, shown=False)
        shown = await seen_by_a_follower(desk, generation)
        assert desk.shelf.asked == 1
    assert shown.answer == ANSWER


async def test_reasoning_that_broke_off_is_reasoned_anew() -> None:
    async with a_desk(engine((Thought("Let me see."), *recite(ANSWER)))) as desk:
        generation = await died(desk, Thinking("Hm, the"))
        shown = await seen_by_a_follower(desk, generation)
    assert (shown.thinking, shown.answer) == ("Let me see.", ANSWER)


async def test_an_answer_that_cannot_be_gone_on_with_takes_the_place_of_the_first() -> None:
    script = (Resumed(continued=False), *recite("At nine [1]."))
    async with a_desk(engine(script)) as desk:
        generation = await died(desk, Delta("Nobody knows"))
        following = asyncio.ensure_future(desk.read(generation))
        async with another_goes_on(desk):
            entries = await following
    assert any(isinstance(entry.event, Replace) for entry in entries)
    assert Transcript.of(entry.event for entry in entries).answer == "At nine [1]."


async def test_quotes_that_broke_off_are_quoted_again() -> None:
    async with a_desk(engine((EngineUnreachable("down"),))) as desk:
        generation = await died(desk, Delta("The library op"), degraded=("model",))
        shown = await seen_by_a_follower(desk, generation)
        assert desk.engine.requests == [], "no model answered before, and quotes are no beginning for one"
    assert shown.answer.startswith("The library opens at nine.")
    assert shown.degraded == ("model",)


async def test_an_answer_that_nothing_bears_on_is_not_said_twice() -> None:
    async with a_desk(engine(recite(ANSWER)), shelf=Shelf(passages=())) as desk:
        said = "I could not find the answer in the documents."
        joined = await desk.begin()
        writer: Writer | None = joined.writer
        assert writer is not None
        await writer.note(replace(desk.record, passages=()))
        for event in (ORIGIN, Sources(()), Delta(said)):
            await writer.append([event])
        shown = await seen_by_a_follower(desk, joined.generation)
    assert shown.answer == said
    assert isinstance(shown.terminal, Done)
    assert shown.terminal.finish_reason == "no_answer"


async def test_one_after_the_other_may_die() -> None:
    async with a_desk(engine(recite(ANSWER))) as desk:
        generation = await died(desk, Delta("It "))
        for said in ("opens ", "at nine "):
            desk.clock.advance(desk.log.lease_s + 1)
            taken = await desk.log.takeover(generation)
            assert taken is not None
            await taken.writer.append([Delta(said)])
        shown = await seen_by_a_follower(desk, generation)
    assert shown.answer == ANSWER


async def test_without_an_index_whoever_goes_on_says_so() -> None:
    shelf = Shelf(error=RetrievalUnavailable("no index answers"))
    async with a_desk(engine((Text("x"),)), shelf=shelf) as desk:
        generation = await died(desk, shown=False)
        shown = await seen_by_a_follower(desk, generation)
    assert shown.state == "failed"


async def test_without_a_model_doubtful_passages_are_offered_and_not_quoted() -> None:
    doubtful = tuple(replace(one, score=0.3) for one in Shelf().passages)
    async with a_desk(engine((EngineUnreachable("down"),)), shelf=Shelf(passages=doubtful)) as desk:
        shown = await seen_by_a_follower(desk, await died(desk, shown=False))
    assert shown.answer.endswith("The closest passages are among the sources.")
    assert len(shown.sources) == len(doubtful)
    assert isinstance(shown.terminal, Done)
    assert (shown.terminal.finish_reason, shown.terminal.citations) == ("no_answer", ())
