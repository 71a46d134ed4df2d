import asyncio
from contextlib import aclosing

import pytest

from backend.core.errors import EngineTimeout
from backend.core.types import Message
from backend.engines.base import End, Endpoint, Text
from backend.engines.scripted import Echo, Hold, ScriptedEngine, recite
from tests.support.asks import a_request

HERE = Endpoint("")


async def said(engine, request=None):
    return [piece async for piece in engine.generate(HERE, request or a_request())]


async def test_it_plays_one_script_a_call_and_repeats_the_last():
    engine = ScriptedEngine(recite("one"), recite("two"))
    assert [(await said(engine))[0] for _ in range(3)] == [Text("one"), Text("two"), Text("two")]
    assert (engine.finished, engine.open, len(engine.requests)) == (3, 0, 3)


async def test_the_pieces_of_a_recital_join_to_its_text_and_end():
    pieces = await said(ScriptedEngine(recite("a b  c [1].")))
    assert "".join(p.text for p in pieces[:-1]) == "a b  c [1]."
    assert isinstance(pieces[-1], End)


async def test_it_echoes_the_last_message():
    engine = ScriptedEngine((Echo(), End("stop")))
    request = a_request(messages=(Message("system", "x"), Message("user", "hello you")))
    assert (await said(engine, request))[:2] == [Text("hello"), Text(" you")]


async def test_it_raises_the_errors_of_its_script():
    with pytest.raises(EngineTimeout):
        await said(ScriptedEngine((Text("a"), EngineTimeout())))


async def test_closing_it_counts_as_cancelled():
    engine = ScriptedEngine((Text("a"), Hold(asyncio.Event())))
    async with aclosing(engine.generate(HERE, a_request())) as pieces:
        await anext(pieces)
        assert engine.open == 1
    assert (engine.open, engine.cancelled, engine.finished) == (0, 1, 0)
