"""A request whose beginning another process has said already."""

from dataclasses import replace

import pytest

from backend.core.errors import EngineTruncated, PoolFull
from backend.engines.base import End, Spent, Text
from backend.engines.scripted import ScriptedEngine, recite
from backend.pool.base import Restarted, Waiting
from tests.support.asks import a_request, an_ask, an_instance
from tests.support.pool import a_pool

SAID = "The library opens "
ANSWER = f"{SAID}at nine."


def taken_over(partial: str = SAID):
    spent = Spent(2, ((len(partial), 3),))
    return replace(a_request(model="m"), partial=partial, spent=spent)


def text(events) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))


async def test_it_is_gone_on_from_what_was_said() -> None:
    engine = ScriptedEngine(recite(ANSWER), models=("m",))
    async with a_pool(an_instance(engine)) as it:
        events = [event async for event in it.pool.generate(an_ask(), taken_over())]
    assert text(events) == "at nine."
    assert isinstance(events[-1], End)
    asked = engine.requests[0][1]
    assert (asked.partial, asked.spent.thinking, asked.spent.on(len(SAID))) == (SAID, 2, 3)


async def test_an_instance_that_fails_then_loses_none_of_it() -> None:
    engine = ScriptedEngine((Text(SAID), Text("at "), EngineTruncated()), recite(ANSWER), models=("m",))
    async with a_pool(an_instance(engine, "a"), an_instance(engine, "b")) as it:
        events = [event async for event in it.pool.generate(an_ask(), taken_over())]
    assert text(events) == "at nine."
    assert engine.requests[1][1].partial == f"{SAID}at "
    assert engine.requests[1][1].spent.on(len(SAID)) == 3


async def test_what_cannot_be_gone_on_with_is_withdrawn() -> None:
    engine = ScriptedEngine(recite("Nobody knows."), models=("m",))
    async with a_pool(an_instance(engine)) as it:
        events = [event async for event in it.pool.generate(an_ask(), taken_over())]
    assert [type(event) for event in events[1:3]] == [Restarted, Text]
    assert text(events) == "Nobody knows."


async def test_it_is_not_refused_for_the_wait_that_a_newcomer_would_have() -> None:
    engine = ScriptedEngine(recite(ANSWER), models=("m",))
    async with a_pool(an_instance(engine), max_wait_s=0.001) as it:
        first = it.ask("first")
        await anext(first)
        with pytest.raises(PoolFull):
            await anext(it.ask("newcomer"))
        continuing = it.pool.generate(an_ask("c"), taken_over())
        assert isinstance(await anext(continuing), Waiting)
        await first.aclose()
        assert text([event async for event in continuing]) == "at nine."
