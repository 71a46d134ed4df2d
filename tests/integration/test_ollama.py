"""The native Ollama engine against the emulator: what it says, and every way in which it can fail."""

import asyncio
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

import pytest

from backend.core.errors import (
    ContextOverflow,
    EngineError,
    EngineRejected,
    EngineTimeout,
    EngineTruncated,
    EngineUnreachable,
    ModelMissing,
)
from backend.core.types import Message, Sampling
from backend.engines.base import Bounds, End, Endpoint, Text, Thought
from backend.engines.ollama import OllamaEngine
from backend.infra.http import open_session
from tests.support.asks import a_request
from tests.support.emulator import emulator

ANSWER = "The library opens at nine [1] and closes at six [2]."
BOUNDS = Bounds(connect_s=1, first_token_s=0.5, gap_s=0.3)
REQUEST = replace(a_request("When?", "At nine."), model="llama3.1:8b", bounds=BOUNDS)


@asynccontextmanager
async def ollama(**knobs):
    fast = {"time_scale": 0.001, "num_parallel": 2, "reply": ANSWER}
    async with emulator(**(fast | knobs)) as server, open_session() as session:
        yield OllamaEngine(session, context_tokens=4096), Endpoint(server.url), server


PATIENT = replace(REQUEST, bounds=Bounds())


async def collect(engine, endpoint, request=PATIENT):
    return [piece async for piece in engine.generate(endpoint, request)]


def text(pieces):
    return "".join(piece.text for piece in pieces if isinstance(piece, Text))


async def test_an_answer_comes_with_its_counts_and_durations():
    async with ollama() as (engine, endpoint, _):
        pieces = await collect(engine, endpoint)
    assert text(pieces) == ANSWER
    end = pieces[-1]
    assert isinstance(end, End)
    assert end.finish_reason == "stop"
    assert end.usage.prompt_tokens > 0
    assert end.usage.completion_tokens > 5
    assert end.usage.completion_s > 0
    assert end.usage.load_s > 0


async def test_the_bound_of_the_answer_is_kept():
    request = replace(PATIENT, sampling=Sampling(0, 3))
    async with ollama() as (engine, endpoint, _):
        pieces = await collect(engine, endpoint, request)
    assert pieces[-1].finish_reason == "length"
    assert pieces[-1].usage.completion_tokens == 3


async def test_nothing_is_loaded_twice_whatever_the_question():
    async with ollama() as (engine, endpoint, server):
        for question in ("One?", "Two, which is longer?"):
            await collect(engine, endpoint, replace(PATIENT, messages=(Message("user", question),)))
        assert len(await server.events(kind="load_begin")) == 1


async def test_thinking_is_a_channel_of_its_own_and_can_be_switched():
    thinker = replace(PATIENT, model="qwen3:8b")
    loud = replace(thinker, sampling=replace(thinker.sampling, thinking=True))
    async with ollama() as (engine, endpoint, _):
        aloud, quiet = await collect(engine, endpoint, loud), await collect(engine, endpoint, thinker)
    assert any(isinstance(piece, Thought) for piece in aloud)
    assert not any(isinstance(piece, Thought) for piece in quiet)
    assert text(aloud) == text(quiet) == ANSWER


async def test_a_model_that_cannot_think_answers_all_the_same():
    loud = replace(PATIENT, sampling=replace(PATIENT.sampling, thinking=True))
    async with ollama() as (engine, endpoint, _):
        assert text(await collect(engine, endpoint, loud)) == ANSWER


async def test_a_prompt_that_does_not_fit_is_refused_and_never_cut():
    request = replace(PATIENT, messages=(Message("user", "word " * 6000),))
    async with ollama() as (engine, endpoint, _):
        with pytest.raises(ContextOverflow):
            await collect(engine, endpoint, request)


async def test_embedding_models_are_not_offered():
    async with ollama() as (engine, endpoint, _):
        names = await engine.models(endpoint)
    assert "llama3.1:8b" in names
    assert not any("embed" in name for name in names)


async def test_a_model_that_is_not_there_is_said_to_be_missing():
    async with ollama() as (engine, endpoint, _):
        with pytest.raises(ModelMissing):
            await collect(engine, endpoint, replace(PATIENT, model="nobody"))


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "refuse"}, EngineUnreachable),
        ({"kind": "accept_then_hang"}, EngineTimeout),
        ({"kind": "reset_before_headers"}, EngineUnreachable),
        ({"kind": "status", "code": 503, "body": "<html>busy</html>"}, EngineUnreachable),
        ({"kind": "status", "code": 429, "body": ""}, EngineUnreachable),
        ({"kind": "status", "code": 400, "body": '{"error":"no"}'}, EngineRejected),
        ({"kind": "error_mid", "k": 3}, EngineError),
        ({"kind": "eof_mid", "k": 3}, EngineTruncated),
        ({"kind": "reset_mid", "k": 3}, EngineTruncated),
        ({"kind": "truncate_line", "k": 3}, EngineTruncated),
        ({"kind": "garbage_line", "k": 3}, EngineError),
        ({"kind": "freeze", "k": 3}, EngineTimeout),
        ({"kind": "load_fail"}, EngineUnreachable),
        ({"kind": "oom_runtime", "k": 3}, EngineError),
    ],
    ids=lambda value: value["kind"] + str(value.get("code", "")) if isinstance(value, dict) else "",
)
async def test_every_fault_is_an_error_of_ours_and_leaves_no_slot_taken(fault, error):
    async with ollama() as (engine, endpoint, server):
        await server.fault(**fault)
        request = REQUEST if error is EngineTimeout else PATIENT
        with pytest.raises(error) as caught:
            await asyncio.wait_for(collect(engine, endpoint, request), 30)
        assert "127.0.0.1" not in caught.value.message
        await server.clear()
        await server.until(lambda state: state["leaks"] == 0)
        assert text(await collect(engine, endpoint, PATIENT)) == ANSWER, "it serves again"


@pytest.mark.parametrize("kind", ["blank_line", "drop_done_metrics", "jitter", "clock_skew"])
async def test_what_is_odd_and_harmless_is_borne(kind):
    async with ollama() as (engine, endpoint, server):
        await server.fault(kind, k=2, s=0.01)
        assert text(await collect(engine, endpoint)) == ANSWER


async def test_closing_half_way_frees_the_slot_within_a_second():
    async with ollama(time_scale=1.0, reply="word " * 2000) as (engine, endpoint, server):
        await server.knobs(preset="7b-4090")
        patient = replace(PATIENT, sampling=Sampling(0, 4000))
        async with aclosing(engine.generate(endpoint, patient)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Text):
                    break
        began = asyncio.get_running_loop().time()
        state = await server.until(lambda state: not _busy(state))
        assert asyncio.get_running_loop().time() - began < 1.0
        assert state["leaks"] == 0


def _busy(state):
    return any(slot["busy"] for runner in state["loaded"] for slot in runner["slots"])
