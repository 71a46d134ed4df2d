"""What every engine promises, whatever it speaks."""

from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

import pytest

from backend.engines.base import End, Endpoint, Resumed, Text, Thought
from backend.engines.extractive import ExtractiveEngine
from backend.engines.ollama import OllamaEngine
from backend.engines.openai_compat import OpenAICompatEngine
from backend.engines.scripted import ScriptedEngine, recite
from backend.infra.http import open_session
from ollama_emulator.models import model
from tests.support.asks import a_request
from tests.support.calibrations import WORDS_ALONE
from tests.support.emulator import emulator
from tests.support.wire import DONE, OK, chunk, refusal, wire_server

PASSAGE = "A reader may borrow six books. A book may be kept for three weeks. A map may not be borrowed."
REQUEST = a_request("How many books may a reader borrow?", PASSAGE)


@asynccontextmanager
async def scripted():
    yield ScriptedEngine(recite("Six books [1]."), models=("m",)), Endpoint("")


@asynccontextmanager
async def extractive():
    yield ExtractiveEngine(by_words=WORDS_ALONE.by_words), Endpoint("")


@asynccontextmanager
async def openai():
    said = (OK, chunk("Six "), 0.01, chunk("books [1]."), chunk(finish="stop"), DONE)
    async with wire_server(*said) as server, open_session() as session:
        yield OpenAICompatEngine(session), Endpoint(server.url)


@asynccontextmanager
async def ollama():
    knobs = {"time_scale": 0.001, "reply": "Six books [1]."}
    async with emulator(models=(model("m"),), **knobs) as server, open_session() as session:
        yield OllamaEngine(session, context_tokens=4096), Endpoint(server.url)


@asynccontextmanager
async def openai_models():
    async with wire_server(refusal(200, {"data": [{"id": "m"}]})) as server, open_session() as session:
        yield OpenAICompatEngine(session), Endpoint(server.url)


@pytest.fixture(params=[scripted, extractive, openai, ollama], ids=lambda make: make.__name__)
async def made(request):
    async with request.param() as it:
        yield it


async def test_text_comes_in_pieces_and_one_end_comes_last(made):
    engine, endpoint = made
    pieces = [piece async for piece in engine.generate(endpoint, REQUEST)]
    assert isinstance(pieces[-1], End)
    assert all(isinstance(piece, Text | Thought) and piece.text for piece in pieces[:-1])
    assert "ix books" in "".join(piece.text for piece in pieces[:-1])
    assert pieces[-1].finish_reason == "stop"


async def test_it_may_be_closed_at_any_piece_and_used_again(made):
    engine, endpoint = made
    async with aclosing(engine.generate(endpoint, REQUEST)) as pieces:
        await anext(pieces)
    assert [piece async for piece in engine.generate(endpoint, REQUEST)]


async def said(engine, endpoint, partial):
    pieces = [piece async for piece in engine.generate(endpoint, replace(REQUEST, partial=partial))]
    return pieces, "".join(piece.text for piece in pieces if isinstance(piece, Text))


async def test_asked_to_go_on_it_says_that_it_does_and_the_whole_is_the_same_wherever_it_broke(made):
    engine, endpoint = made
    _, answer = await said(engine, endpoint, "")
    for cut in range(1, len(answer) + 1):
        pieces, text = await said(engine, endpoint, answer[:cut])
        assert [piece for piece in pieces if isinstance(piece, Resumed)] == [pieces[0]] == [Resumed(True)]
        assert answer[:cut] + text == answer
        assert isinstance(pieces[-1], End)


async def test_asked_to_go_on_from_what_it_would_not_say_it_begins_anew_and_says_so(made):
    engine, endpoint = made
    _, answer = await said(engine, endpoint, "")
    pieces, text = await said(engine, endpoint, "Nobody knows for certain how")
    assert [piece for piece in pieces if isinstance(piece, Resumed)] == [pieces[0]] == [Resumed(False)]
    assert text == answer


async def test_not_asked_to_go_on_it_says_nothing_of_it(made):
    engine, endpoint = made
    pieces, _ = await said(engine, endpoint, "")
    assert not any(isinstance(piece, Resumed) for piece in pieces)


@pytest.mark.parametrize("make", [scripted, extractive, openai_models, ollama])
async def test_it_names_its_models_and_those_that_are_loaded(make):
    async with make() as (engine, endpoint):
        models, loaded = await engine.models(endpoint), await engine.loaded(endpoint)
    assert models
    assert all(model.name for model in models)
    assert {model.name for model in loaded} <= {model.name for model in models}
