import asyncio
from collections.abc import AsyncIterator

import pytest

from backend.core.errors import Conflict, NotFound
from backend.core.events import Source
from backend.history.base import History, Owner
from backend.history.memory import MemoryHistory
from backend.history.presence import LEASE_S, Presence
from backend.history.sql import SqlHistory
from tests.support.databases import empty_database, postgres_url, sqlite_url
from tests.support.manual_clock import ManualClock

__all__ = ["postgres_url"]

ANN = Owner("shop", "ann")
BOB = Owner("shop", "bob")
OTHER_ANN = Owner("library", "ann")
SOURCE = Source(1, "d1", "Loans — prêts", 3, 0.5, "r1", "p1", "loans.md", "Fees", 10, 20)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def history(request, tmp_path, clock) -> AsyncIterator[History]:
    if request.param == "memory":
        yield MemoryHistory(clock)
        return
    url = sqlite_url(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    async with empty_database(url) as engine:
        yield SqlHistory(engine, clock)


async def close(history: History, *runs: str, answer: str = "Two weeks. [1]", state: str = "done") -> None:
    await history.finish(
        runs, answer=answer, state=state, sources=[SOURCE], citations=[1], degraded=["dense"]
    )


async def test_a_new_turn_runs_until_it_is_finished(history):
    talk = await history.begin(ANN, None, "run1", "How long is a loan?")
    (turn,) = await history.turns(ANN, talk)
    assert (turn.state, turn.answer, turn.sources) == ("running", "", ())
    await close(history, "run1")
    (turn,) = await history.turns(ANN, talk)
    assert (turn.state, turn.answer, turn.question) == ("done", "Two weeks. [1]", "How long is a loan?")
    assert (turn.sources, turn.citations, turn.degraded) == ((SOURCE,), (1,), ("dense",))


async def test_a_new_conversation_may_be_named_beforehand_and_is_its_owners_alone(history: History) -> None:
    assert await history.begin(ANN, None, "run1", "q", named="named") == "named"
    with pytest.raises(Conflict):
        await history.begin(BOB, None, "run2", "q", named="named")
    assert [turn.run for turn in await history.turns(ANN, "named")] == ["run1"]


async def test_a_new_conversation_that_its_owner_has_by_now_is_that_one(history: History) -> None:
    for run in ("run1", "run2"):
        assert await history.begin(ANN, None, run, "q", named="named") == "named"
    with pytest.raises(Conflict):
        await history.begin(ANN, None, "run1", "q", named="named")
    assert [turn.run for turn in await history.turns(ANN, "named")] == ["run1", "run2"]
    assert len(await history.conversations(ANN)) == 1


async def test_turns_that_begin_one_new_conversation_at_once_are_all_in_it(history: History) -> None:
    runs = [f"run{n}" for n in range(5)]
    await asyncio.gather(*(history.begin(ANN, None, run, "q", named="named") for run in runs))
    assert sorted(turn.run for turn in await history.turns(ANN, "named")) == runs


async def test_turns_come_oldest_first_and_only_the_newest(history):
    talk = await history.begin(ANN, None, "run0", "q0")
    for n in range(1, 5):
        assert await history.begin(ANN, talk, f"run{n}", f"q{n}") == talk
    assert [t.question for t in await history.turns(ANN, talk, last=3)] == ["q2", "q3", "q4"]


async def test_runs_that_share_a_generation_are_finished_together(history):
    first = await history.begin(ANN, None, "run1", "q")
    second = await history.begin(BOB, None, "run2", "q")
    await close(history, "run1", "run2")
    assert [(await history.turns(o, c))[0].state for o, c in ((ANN, first), (BOB, second))] == ["done"] * 2


async def test_finishing_no_run_or_an_unknown_one_is_nothing(history):
    await close(history)
    await close(history, "unknown")


async def test_a_stopped_turn_is_not_reopened_by_the_others_end(history):
    talk = await history.begin(ANN, None, "run1", "q")
    await close(history, "run1", answer="Two", state="stopped")
    await close(history, "run1")
    (turn,) = await history.turns(ANN, talk)
    assert (turn.state, turn.answer) == ("stopped", "Two")


async def test_another_owners_conversation_does_not_exist(history):
    talk = await history.begin(ANN, None, "run1", "q")
    for stranger in (BOB, OTHER_ANN):
        with pytest.raises(NotFound):
            await history.turns(stranger, talk)
        with pytest.raises(NotFound):
            await history.begin(stranger, talk, "run2", "q")
        with pytest.raises(NotFound):
            await history.delete(stranger, talk)
        with pytest.raises(NotFound):
            await history.rate(stranger, "run1", "up", "")
        assert await history.conversations(stranger) == []
    assert len(await history.turns(ANN, talk)) == 1


async def test_conversations_are_listed_latest_first_and_by_page(history, clock):
    talks = []
    for n in range(3):
        clock.advance(1)
        talks.append(await history.begin(ANN, None, f"run{n}", f"Question   {n}\nmore"))
    clock.advance(1)
    await history.begin(ANN, talks[0], "again", "q")
    listed = await history.conversations(ANN, limit=2)
    assert [c.id for c in listed] == [talks[0], talks[2]]
    assert listed[0].title == "Question 0 more"
    assert listed[0].updated > listed[0].created
    assert [c.id for c in await history.conversations(ANN, before=listed[1].updated)] == [talks[1]]


async def test_a_deleted_conversation_is_gone_with_its_turns(history):
    talk = await history.begin(ANN, None, "run1", "q")
    await history.delete(ANN, talk)
    with pytest.raises(NotFound):
        await history.turns(ANN, talk)
    with pytest.raises(NotFound):
        await history.rate(ANN, "run1", "up", "")
    await close(history, "run1")
    assert await history.begin(ANN, None, "run1", "the run's id is free again") != talk


async def test_a_run_has_one_turn(history):
    talk = await history.begin(ANN, None, "run1", "q")
    with pytest.raises(Conflict):
        await history.begin(ANN, talk, "run1", "q")
    assert len(await history.turns(ANN, talk)) == 1


async def test_a_rating_may_change(history):
    await history.begin(ANN, None, "run1", "q")
    await history.rate(ANN, "run1", "up", "")
    await history.rate(ANN, "run1", "down", "wrong page")
    with pytest.raises(NotFound):
        await history.rate(ANN, "unknown", "up", "")


async def test_turns_of_a_dead_process_are_given_up(history, clock):
    old = await history.begin(ANN, None, "old", "q")
    closed = await history.begin(ANN, None, "closed", "q")
    await close(history, "closed")
    clock.advance(100)
    fresh = await history.begin(ANN, None, "fresh", "q")
    assert await history.abandon(clock.now() - 50) == 1
    states = [(await history.turns(ANN, talk))[0].state for talk in (old, closed, fresh)]
    assert states == ["failed", "done", "running"]


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
async def test_only_the_turns_of_processes_that_died_are_given_up(database, request, tmp_path, clock):
    url = sqlite_url(tmp_path) if database == "sqlite" else request.getfixturevalue("postgres_url")
    async with empty_database(url) as engine:
        named = {name: SqlHistory(engine, clock, process=name) for name in ("one", "two", "three")}
        signs = {name: Presence(engine, clock, of, process=name) for name, of in named.items()}
        for name in ("one", "two"):
            await signs[name].sign()
        talks = {name: await named[name].begin(ANN, None, name, "q") for name in ("one", "two")}
        clock.advance(LEASE_S - 1)
        await asyncio.gather(signs["one"].sign(), signs["three"].sign())
        assert [await state(named["one"], talks[name]) for name in ("one", "two")] == ["running", "running"]
        clock.advance(2)
        await signs["three"].sign()
        assert [await state(named["one"], talks[name]) for name in ("one", "two")] == ["running", "failed"]


async def test_a_process_that_is_alone_gives_up_what_another_left_at_once(tmp_path, clock):
    async with empty_database(sqlite_url(tmp_path)) as engine:
        before, after = (SqlHistory(engine, clock, process=name) for name in ("before", "after"))
        await Presence(engine, clock, before, process="before", alone=True).sign()
        talk = await before.begin(ANN, None, "run1", "q")
        clock.advance(1)
        await Presence(engine, clock, after, process="after", alone=True).sign()
        assert await state(after, talk) == "failed"


async def state(history: History, talk: str) -> str:
    return (await history.turns(ANN, talk))[0].state


async def test_a_turn_given_up_too_early_is_still_finished(history, clock):
    talk = await history.begin(ANN, None, "run1", "q")
    clock.advance(1)
    await history.abandon(clock.now())
    await close(history, "run1")
    assert (await history.turns(ANN, talk))[0].state == "done"


async def test_text_no_database_takes_is_still_kept(history):
    talk = await history.begin(ANN, None, "run1", "q\u2028 \u202e é 漢 😀")
    await close(history, "run1", answer="a\x00b\ud800c")
    (turn,) = await history.turns(ANN, talk)
    assert turn.question == "q\u2028 \u202e é 漢 😀"
    assert turn.answer.startswith("a")
    for odd in ("\x00", "\ud800", "x" * 500):
        with pytest.raises(NotFound):
            await history.turns(ANN, odd)
        with pytest.raises(NotFound):
            await history.rate(ANN, odd, "up", "\x00\ud800")


async def test_many_turns_at_once_are_each_in_their_own_conversation(history: History) -> None:
    known = await history.begin(ANN, None, "first", "How long?")
    owners = [(ANN, None), (BOB, None), (ANN, known), (BOB, None)]
    opened = await asyncio.gather(
        *(history.begin(owner, here, f"r{n}", f"Question {n}?") for n, (owner, here) in enumerate(owners))
    )
    await asyncio.gather(*(close(history, f"r{n}", answer=f"Answer {n}.") for n in range(len(owners))))
    assert opened[2] == known
    assert len(set(opened)) == len(opened)
    for n, (owner, _) in enumerate(owners):
        last = (await history.turns(owner, opened[n]))[-1]
        assert (last.question, last.answer, last.state) == (f"Question {n}?", f"Answer {n}.", "done")


async def test_of_turns_opened_at_once_one_in_anothers_conversation_alone_is_refused(
    history: History,
) -> None:
    bobs = await history.begin(BOB, None, "bobs", "Whose?")
    outcomes = await asyncio.gather(
        history.begin(ANN, None, "a", "Mine?"),
        history.begin(ANN, bobs, "b", "His?"),
        history.begin(ANN, None, "c", "Mine too?"),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [str, NotFound, str]
    assert len(await history.turns(BOB, bobs)) == 1
