"""The native Ollama engine against the emulator: what it says, and every way in which it can fail."""

import asyncio
import json
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
from backend.core.types import Message, Sampling, Usage
from backend.engines.base import Bounds, End, Endpoint, Resumed, Text, Thought
from backend.engines.ollama import OllamaEngine
from backend.infra.http import open_session
from ollama_emulator.models import model
from tests.support.asks import a_request
from tests.support.emulator import emulator
from tests.support.wire import OK, wire_server

ANSWER = "The library opens at nine [1] and closes at six [2]."
BOUNDS = Bounds(connect_s=1, first_token_s=0.5, gap_s=0.3)
REQUEST = replace(a_request("When?", "At nine."), model="llama3.1:8b", bounds=BOUNDS)


@asynccontextmanager
async def ollama(**knobs):
    fast = {"time_scale": 0.001, "num_parallel": 2, "reply": ANSWER}
    async with emulator(**(fast | knobs)) as server, open_session() as session:
        yield OllamaEngine(session, context_tokens=4096), Endpoint(server.url), server


PATIENT = replace(REQUEST, bounds=Bounds())
NDJSON = (OK.replace(b"text/event-stream", b"application/x-ndjson"),)


def line(content="", *, done=False, **more):
    message = {"role": "assistant", "content": content}
    return json.dumps({"model": "m", "message": message, "done": done, **more}).encode() + b"\n"


DONE = line(done=True, done_reason="stop")


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


async def test_a_model_that_repeats_itself_until_the_server_gives_up_has_not_answered():
    request = replace(PATIENT, model="qwen3:8b")
    async with ollama(reply="ha " * 50) as (engine, endpoint, _):
        with pytest.raises(EngineTruncated):
            await collect(engine, endpoint, request)


@pytest.mark.parametrize(("asked", "options"), [(None, {}), (8192, {"num_ctx": 8192})])
async def test_no_request_says_what_would_make_the_server_reload_unless_the_operator_set_it(asked, options):
    async with wire_server(*NDJSON, line("a"), DONE) as server, open_session() as session:
        engine = OllamaEngine(session, context_tokens=asked, keep_alive="7m")
        for maximum in (64, 512):
            await collect(engine, Endpoint(server.url), replace(PATIENT, sampling=Sampling(0.5, maximum)))
        with pytest.raises(EngineError):  # what answers here speaks of no load
            await engine.load(Endpoint(server.url), "llama3.1:8b", within_s=1)
    always = {"model": "llama3.1:8b", "truncate": False, "keep_alive": "7m"}
    for told, maximum in zip(server.requests[:2], (64, 512), strict=True):
        assert told == {
            **always,
            "messages": [{"role": "user", "content": "When?"}],
            "stream": True,
            "think": False,
            "options": {**options, "num_predict": maximum, "temperature": 0.5},
        }
    assert server.requests[2] == {**always, "messages": [], "options": options}


async def test_a_neighbour_with_the_servers_defaults_and_we_in_turns_load_the_model_once():
    async with ollama() as (_, endpoint, server), open_session() as session:
        engine = OllamaEngine(session)
        await engine.load(endpoint, PATIENT.model, within_s=30)
        for _ in range(20):
            assert text(await collect(engine, endpoint)) == ANSWER
            body = {"model": PATIENT.model, "messages": [{"role": "user", "content": "Hello."}]}
            async with session.post(f"{endpoint.url}/api/chat", json=body) as response:
                assert b'"done":true' in await response.read()
        assert len(await server.events(kind="load_begin")) == 1


async def test_a_refused_prompt_tells_the_context_and_how_long_it_was():
    request = replace(PATIENT, messages=(Message("user", "word " * 6000),))
    async with ollama() as (engine, endpoint, server):
        with pytest.raises(ContextOverflow) as caught:
            await collect(engine, endpoint, request)
        (refused,) = await server.requests()
    assert caught.value.context_tokens == 4096
    assert refused["status"] == 400
    assert caught.value.prompt_tokens > 6000


TOOL = {"function": {"name": "look", "arguments": {}}}
ODD = {
    "a model that was only loaded": (line(done=True, done_reason="load"), EngineTruncated),
    "a model that was unloaded": (line(done=True, done_reason="unload"), EngineTruncated),
    "a tool call in the last object": (
        line(done=True, done_reason="stop", message={"content": "", "tool_calls": [TOOL]}),
        EngineError,
    ),
    "a tool call of its own": (line(message={"content": "", "tool_calls": [TOOL]}) + DONE, EngineError),
    "content that is no text": (line(message={"content": [1]}) + DONE, EngineError),
    "thinking that is no text": (line(message={"content": "", "thinking": 7}) + DONE, EngineError),
    "a message that is none": (line(message="a") + DONE, EngineError),
    "a list": (b"[1]\n", EngineError),
    "an end cut off before its line end": (DONE[:-1], EngineTruncated),
}


@pytest.mark.parametrize("name", ODD)
async def test_what_is_odd_and_no_answer_is_an_error(name):
    said, expected = ODD[name]
    async with wire_server(*NDJSON, said) as server, open_session() as session:
        engine = OllamaEngine(session, context_tokens=4096)
        with pytest.raises(EngineError) as caught:
            await collect(engine, Endpoint(server.url))
    assert type(caught.value) is expected


async def test_a_tool_call_beside_an_answer_is_left_out():
    last = line(done=True, done_reason="stop", message={"content": ".", "tool_calls": [TOOL]})
    async with wire_server(*NDJSON, line("At nine"), last) as server, open_session() as session:
        pieces = await collect(OllamaEngine(session, context_tokens=4096), Endpoint(server.url))
    assert text(pieces) == "At nine."
    assert pieces[-1].finish_reason == "stop"


async def test_figures_that_are_none_are_left_out():
    end = line(done=True, done_reason="stop", eval_count="7", prompt_eval_count=5, eval_duration=None)
    async with wire_server(*NDJSON, line("a"), end) as server, open_session() as session:
        pieces = await collect(OllamaEngine(session, context_tokens=4096), Endpoint(server.url))
    assert pieces[-1].usage == Usage(prompt_tokens=5)


async def test_models_are_listed_with_what_they_can_do_and_those_that_only_embed_are_not():
    async with ollama() as (engine, endpoint, _):
        models = {model.name: model for model in await engine.models(endpoint)}
    assert not any("embed" in name for name in models)
    assert (models["llama3.1:8b"].thinks, models["qwen3:8b"].thinks) == (False, True)
    assert (models["llama3.1:8b"].parameters, models["llama3.1:8b"].quantisation) == ("8.0B", "Q4_K_M")


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


BEHAVIOURS = ("continue", "restart", "repeat", "trim_space")


def models():
    """A plain model and one that thinks, of each behaviour."""
    plain = (model(f"{behaviour}:plain", prefill=behaviour) for behaviour in BEHAVIOURS)
    thinks = {"family": "qwen3", "capabilities": ("completion", "thinking"), "native": False}
    return (*plain, *(model(f"{behaviour}:thinks", prefill=behaviour, **thinks) for behaviour in BEHAVIOURS))


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("kind", ["plain", "thinks"])
async def test_whatever_a_model_makes_of_a_partial_answer_the_reader_sees_it_go_on(behaviour, kind):
    loud = Sampling(0, 64, thinking=kind == "thinks")
    async with ollama(models=models()) as (engine, endpoint, server):
        for cut in (1, 4, 9, 12, 30, 32, 34, len(ANSWER) - 1, len(ANSWER)):
            asked = replace(PATIENT, model=f"{behaviour}:{kind}", sampling=loud, partial=ANSWER[:cut])
            pieces = await collect(engine, endpoint, asked)
            again = kind == "thinks" and cut <= 4  # too little to go on from: it thinks again
            assert pieces[0] == Resumed(not again), cut
            assert text(pieces) == (ANSWER if again else ANSWER[cut:])
            assert any(isinstance(piece, Thought) for piece in pieces) == again
        assert len(await server.requests()) == 9, "each in one request"
        assert len(await server.events(kind="load_begin")) == 1


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
async def test_a_model_that_says_something_else_begins_anew(behaviour):
    partial = "The library opens at ten"
    async with ollama(models=models()) as (engine, endpoint, server):
        asked = replace(PATIENT, model=f"{behaviour}:plain", partial=partial)
        pieces = await collect(engine, endpoint, asked)
        assert pieces[0] == Resumed(False)
        assert text(pieces) == ANSWER
        assert (await server.state())["leaks"] == 0


async def test_a_partial_answer_that_does_not_fit_beside_the_question_is_asked_for_anew():
    request = replace(PATIENT, messages=(Message("user", "word " * 3900),), partial="and so " * 300)
    async with ollama() as (engine, endpoint, _):
        pieces = await collect(engine, endpoint, request)
    assert (pieces[0], text(pieces)) == (Resumed(False), ANSWER)


async def test_an_answer_whose_server_dies_goes_on_at_another():
    async with ollama() as (engine, dying, server), ollama() as (_, well, _):
        await server.fault("reset_mid", k=7)
        shown = []

        async def read():
            async for piece in engine.generate(dying, PATIENT):
                shown.append(piece)

        with pytest.raises(EngineTruncated):
            await read()
        assert 0 < len(text(shown)) < len(ANSWER)
        pieces = await collect(engine, well, replace(PATIENT, partial=text(shown)))
    assert pieces[0] == Resumed(True)
    assert text(shown) + text(pieces) == ANSWER


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
