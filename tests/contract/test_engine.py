"""What every engine promises, whatever it speaks."""

from contextlib import aclosing, asynccontextmanager

import pytest

from backend.engines.base import End, Endpoint, Text, Thought
from backend.engines.extractive import ExtractiveEngine
from backend.engines.ollama import OllamaEngine
from backend.engines.openai_compat import OpenAICompatEngine
from backend.engines.scripted import ScriptedEngine, recite
from backend.infra.http import open_session
from tests.support.asks import a_request
from tests.support.emulator import emulator
from tests.support.wire import DONE, OK, chunk, refusal, wire_server

PASSAGE = "A reader may borrow six books. A book may be kept for three weeks. A map may not be borrowed."
REQUEST = a_request("How many books may a reader borrow?", PASSAGE)


@asynccontextmanager
async def scripted():
    yield ScriptedEngine(recite("Six books [1]."), models=("m",)), Endpoint("")


@asynccontextmanager
async def extractive():
    yield ExtractiveEngine(), Endpoint("")


@asynccontextmanager
async def openai():
    said = (OK, chunk("Six "), 0.01, chunk("books [1]."), chunk(finish="stop"), DONE)
    async with wire_server(*said) as server, open_session() as session:
        yield OpenAICompatEngine(session), Endpoint(server.url)


@asynccontextmanager
async def openai_models():
    async with wire_server(refusal(200, {"data": [{"id": "m"}]})) as server, open_session() as session:
        yield OpenAICompatEngine(session), Endpoint(server.url)


@asynccontextmanager
async def ollama():
    async with emulator(time_scale=0.001) as server, open_session() as session:
        yield OllamaEngine(session, context_tokens=4096), Endpoint(server.url)


@pytest.fixture(params=[scripted, extractive, openai], ids=lambda make: make.__name__)
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


@pytest.mark.parametrize("make", [scripted, extractive, openai_models, ollama])
async def test_it_names_its_models_and_those_that_are_loaded(make):
    async with make() as (engine, endpoint):
        models, loaded = await engine.models(endpoint), await engine.loaded(endpoint)
    assert models
    assert all(model.name for model in models)
    assert {model.name for model in loaded} <= {model.name for model in models}
