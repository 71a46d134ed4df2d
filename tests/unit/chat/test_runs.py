"""A reader's request: what it follows, what it is told, and who else may touch it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from backend.chat import openings
from backend.chat.base import Idempotency, Question, Run
from backend.chat.transcript import Transcript
from backend.config import Chat
from backend.core.errors import Conflict, Forbidden, ModelNotOffered, NotFound, PoolFull, TooLarge
from backend.core.events import Done, Event, Started
from backend.core.types import Principal
from backend.engines.base import ModelInfo, Text
from backend.engines.scripted import Hold, ScriptedEngine, recite
from backend.generations.base import START, Entry
from backend.history.base import Turn
from backend.history.memory import MemoryHistory
from tests.support.answering import OWNER, Desk, Shelf, a_desk
from tests.support.manual_clock import ManualClock
from tests.support.records import READER

ANSWER = "It opens at nine [1]."
ASKED = Question("When does it open?")
STRANGER = replace(READER, subject="another")


def engine(*scripts) -> ScriptedEngine:
    return ScriptedEngine(*scripts, models=(ModelInfo("m", digest="sha256:abc"), "other"))


def holding() -> tuple[asyncio.Event, ScriptedEngine]:
    release = asyncio.Event()
    return release, engine((Text("It opens "), Hold(release), *recite(ANSWER)[2:]))


@asynccontextmanager
async def at_work(desk: Desk) -> AsyncIterator[None]:
    sweeping = asyncio.ensure_future(desk.producer.sweep(every_s=0.001))
    yield
    sweeping.cancel()


async def entries(desk: Desk, run: Run, after=START) -> list[Entry]:
    async with asyncio.timeout(10):
        return [entry async for batch in desk.runs.follow(run, after, idle_s=1) for entry in batch]


async def events(desk: Desk, run: Run) -> list[Event]:
    return [entry.event for entry in await entries(desk, run)]


def names(happened: Sequence[Event]) -> list[str]:
    return [event.name for event in happened if event.name not in ("delta", "queue")]


async def test_a_run_is_told_its_own_ids_then_what_everybody_is_told() -> None:
    async with a_desk(engine(recite(ANSWER))) as desk:
        run = await desk.runs.start(READER, ASKED)
        happened = await entries(desk, run)
        assert names([entry.event for entry in happened]) == ["started", "sources", "done"]
        started = happened[0].event
        assert isinstance(started, Started)
        assert (started.run_id, started.conversation_id, started.cache) == (run.id, run.conversation, "miss")
        assert started.model == "m"
        assert happened[0].id is START, "it is nothing to resume after"
        (turn,) = await desk.history.turns(OWNER, run.conversation)
        assert (turn.state, turn.answer, turn.citations) == ("done", ANSWER, (1,))


async def test_two_who_ask_the_same_follow_one_generation_and_each_is_told_so() -> None:
    async with a_desk(engine(recite(ANSWER))) as desk:
        first, second = await desk.runs.start(READER, ASKED), await desk.runs.start(STRANGER, ASKED)
        assert first.generation == second.generation
        told = [(await events(desk, run))[0] for run in (first, second)]
        assert [one.cache for one in told if isinstance(one, Started)] == ["miss", "joined"]
        assert len({one.variant for one in told if isinstance(one, Started)}) == 1
        assert len(desk.engine.requests) == 1


@pytest.mark.parametrize(
    "other",
    [
        replace(ASKED, text="When does it close?"),
        replace(ASKED, model="other"),
        replace(ASKED, temperature=0.7),
        replace(ASKED, max_tokens=7),
        replace(ASKED, thinking=True),
        replace(ASKED, language="fr"),
        replace(ASKED, corpora=("b",)),
    ],
    ids=str,
)
async def test_whatever_may_answer_differently_is_answered_by_itself(other: Question) -> None:
    async with a_desk(engine(recite(ANSWER))) as desk:
        first, second = await desk.runs.start(READER, ASKED), await desk.runs.start(READER, other)
        assert first.generation != second.generation


async def test_what_changes_nothing_is_one_generation() -> None:
    release, holds = holding()
    async with a_desk(holds) as desk:
        first = await desk.runs.start(READER, ASKED)
        for same in (
            replace(ASKED, text=" when DOES it open?"),
            replace(ASKED, temperature=-0.0),
            replace(ASKED, temperature=0),
            replace(ASKED, model="m"),
            replace(ASKED, corpora=("default", "default")),
            replace(ASKED, max_tokens=10**6),
        ):
            assert (await desk.runs.start(READER, same)).generation == first.generation
        release.set()


async def test_an_answer_from_documents_that_have_changed_is_not_joined() -> None:
    async with a_desk(engine(recite(ANSWER))) as desk:
        first = await desk.runs.start(READER, ASKED)
        desk.documents.versions["default"] = "2"
        assert (await desk.runs.start(READER, ASKED)).generation != first.generation


async def test_anothers_tenant_never_joins() -> None:
    async with a_desk(engine(recite(ANSWER))) as desk:
        first = await desk.runs.start(READER, ASKED)
        assert (await desk.runs.start(replace(READER, tenant="u"), ASKED)).generation != first.generation


async def test_the_record_holds_who_asks_how_it_is_answered_and_until_when() -> None:
    release, holds = holding()
    async with a_desk(holds, chat=Chat(deadline_s=60)) as desk:
        await desk.runs.start(READER, replace(ASKED, max_tokens=9))
        (production,) = desk.producer._live
        record = production.voice.record
        assert record.principal == READER
        assert (record.began, record.deadline) == (desk.clock.now(), desk.clock.now() + 60)
        assert (record.variant.model, record.variant.digest) == ("m", "sha256:abc")
        assert record.variant.sampling.max_tokens == 9
        release.set()


async def test_a_run_is_resumed_after_any_of_its_entries() -> None:
    async with a_desk(engine(recite(ANSWER))) as desk:
        run = await desk.runs.start(READER, ASKED)
        happened = await entries(desk, run)
        for place, entry in enumerate(happened[1:-1], 1):
            again = [e.event for e in await entries(desk, run, entry.id)]
            rest = [e.event for e in happened[place + 1 :]]
            assert again[0] == happened[0].event
            assert again[-1] == rest[-1]
            assert Transcript.of(again).answer == Transcript.of(rest).answer
        assert await desk.runs.at_end(run, happened[-1].id)


async def test_who_stops_alone_ends_the_answer_and_its_slot_is_free() -> None:
    _, holds = holding()
    async with a_desk(holds) as desk, at_work(desk):
        run = await desk.runs.start(READER, ASKED)
        following = asyncio.ensure_future(events(desk, run))
        await until(lambda: holds.open == 1)
        await desk.runs.stop(READER, run.id)
        shown = Transcript.of(await following)
        assert (shown.answer.strip(), shown.state) == ("It opens", "stopped")
        assert holds.open == 0
        await desk.runs.stop(READER, run.id)
        (turn,) = await desk.history.turns(OWNER, run.conversation)
        assert turn.state == "stopped"


async def test_who_stops_while_another_follows_has_an_end_and_a_turn_of_its_own() -> None:
    release, holds = holding()
    async with a_desk(holds) as desk, at_work(desk):
        one, two = await desk.runs.start(READER, ASKED), await desk.runs.start(READER, ASKED)
        following = [asyncio.ensure_future(entries(desk, run)) for run in (one, two)]
        await until(lambda: holds.open == 1)
        await asyncio.sleep(0.01)
        await desk.runs.stop(READER, one.id)
        stopped = await following[0]
        assert stopped[-1].event == Done("stopped")
        assert stopped[-1].id is START
        release.set()
        assert Transcript.of(e.event for e in await following[1]).state == "done"
        states = [(await desk.history.turns(OWNER, run.conversation))[0].state for run in (one, two)]
        assert states == ["stopped", "done"]


class Late(MemoryHistory):
    """A history that opens turns once it is let."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.let = asyncio.Event()

    async def begin(self, *arguments, **named) -> str:
        await self.let.wait()
        return await super().begin(*arguments, **named)


@pytest.mark.parametrize("goes_away", [False, True], ids=["stops", "goes away before the headers"])
async def test_a_turn_that_opens_after_its_run_has_left_others_is_closed(
    goes_away: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openings, "OPENING_S", 60.0 if goes_away else 0.01)
    release, holds = holding()
    async with a_desk(holds, history=Late) as desk, at_work(desk):
        asking = [asyncio.ensure_future(desk.runs.start(who, ASKED)) for who in (READER, STRANGER)]
        await until(lambda: holds.open == 1)
        if goes_away:
            asking[0].cancel()
        else:
            await desk.runs.stop(READER, (await asking[0]).id)
        desk.history.let.set()
        other = await asking[1]
        (conversation,) = await eventually(lambda: desk.history.conversations(OWNER))
        closed = await eventually(lambda: ended(desk, conversation.id))
        assert [turn.state for turn in closed] == ["stopped"]
        release.set()
        assert Transcript.of(await events(desk, other)).state == "done"


async def ended(desk: Desk, conversation: str) -> list[Turn]:
    return [turn for turn in await desk.history.turns(OWNER, conversation) if turn.state != "running"]


async def eventually(look):
    async with asyncio.timeout(10):
        while not (found := await look()):
            await asyncio.sleep(0.001)
        return found


@pytest.mark.parametrize("who", [STRANGER, replace(READER, tenant="u")], ids=["subject", "tenant"])
async def test_anothers_run_does_not_exist(who: Principal) -> None:
    async with a_desk(engine(recite(ANSWER))) as desk:
        run = await desk.runs.start(READER, ASKED)
        for attempt in (
            desk.runs.get(who, run.id),
            desk.runs.stop(who, run.id),
            desk.runs.rate(who, run.id, "up", ""),
        ):
            with pytest.raises(NotFound):
                await attempt
        with pytest.raises(NotFound):
            await desk.runs.start(who, replace(ASKED, conversation=run.conversation))


async def test_what_may_not_be_asked_is_refused_and_leaves_nothing() -> None:
    granted = replace(READER, corpora=frozenset({"a"}))
    refused = (
        (granted, replace(ASKED, corpora=("b",)), Forbidden),
        (replace(READER, corpora=frozenset()), ASKED, Forbidden),
        (READER, replace(ASKED, model="nobody's"), ModelNotOffered),
        (READER, replace(ASKED, text="x" * 101), TooLarge),
        (READER, replace(ASKED, conversation="never"), NotFound),
    )
    async with a_desk(engine(recite(ANSWER)), chat=Chat(max_question_chars=100)) as desk:
        for who, question, error in refused:
            with pytest.raises(error):
                await desk.runs.start(who, question, key := Idempotency("k", "b"))
        assert list(await desk.history.conversations(OWNER)) == []
        assert desk.engine.requests == []
        assert await desk.runs.start(READER, ASKED, key), "its key is free again"


async def test_a_key_that_came_with_another_question_is_refused() -> None:
    async with a_desk(engine(recite(ANSWER))) as desk:
        first = await desk.runs.start(READER, ASKED, Idempotency("k", "one"))
        assert await desk.runs.start(READER, ASKED, Idempotency("k", "one")) == first
        with pytest.raises(Conflict):
            await desk.runs.start(READER, ASKED, Idempotency("k", "two"))


async def test_a_log_that_takes_no_more_refuses_and_keeps_no_turn() -> None:
    _, holds = holding()
    async with a_desk(holds) as desk:
        desk.log.max_live = 1
        await desk.runs.start(READER, ASKED)
        with pytest.raises(PoolFull):
            await desk.runs.start(READER, replace(ASKED, text="And when does it close?"))
        assert len(await desk.history.conversations(OWNER)) == 1


async def test_an_answer_with_nothing_to_go_on_says_so_without_a_model() -> None:
    async with a_desk(engine(recite(ANSWER)), shelf=Shelf(passages=())) as desk:
        run = await desk.runs.start(READER, ASKED)
        shown = Transcript.of(await events(desk, run))
        assert "could not find" in shown.answer
        assert desk.engine.requests == []


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)
