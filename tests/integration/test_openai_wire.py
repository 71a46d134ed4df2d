"""The OpenAI protocol over a real socket: what a good, a bad and a dying server say."""

import asyncio
import json
from contextlib import aclosing

import pytest

from backend.core.errors import (
    ContextOverflow,
    EngineError,
    EngineRefused,
    EngineRejected,
    EngineTimeout,
    EngineTruncated,
    EngineUnreachable,
    ModelMissing,
)
from backend.core.types import Sampling, Usage
from backend.engines.base import Bounds, End, Endpoint, Resumed, Text, Thought
from backend.engines.dialects import COMMON, LLAMA_CPP, MLX, TRANSFORMERS, VLLM
from backend.engines.openai_compat import OpenAICompatEngine
from backend.infra.http import open_session
from tests.support.asks import a_request
from tests.support.wire import CHUNKED, DONE, HTTP10, OK, chunk, chunked, refusal, usage, wire_server

QUICK = Bounds(connect_s=5.0, first_token_s=0.5, gap_s=0.5)


async def answer(*say, end="eof", request=None, **engine):
    async with wire_server(*say, end=end) as server, open_session() as session:
        request = request or (a_request(bounds=QUICK) if end == "hold" else a_request())
        generation = OpenAICompatEngine(session, **engine).generate(Endpoint(server.url, "key"), request)
        async with aclosing(generation):
            return [piece async for piece in generation], server


def text_of(pieces):
    return "".join(piece.text for piece in pieces if isinstance(piece, Text))


async def test_a_good_stream_gives_text_and_one_end_with_its_counts():
    said = (OK, chunk(""), chunk("Bon"), chunk("jour é"), chunk(finish="stop"), usage(7, 2), DONE)
    pieces, server = await answer(*said)
    assert text_of(pieces) == "Bonjour é"
    assert pieces[-1] == End("stop", Usage(7, 2))
    assert server.headers[0]["authorization"] == "Bearer key"
    assert server.headers[0]["request"] == "POST /v1/chat/completions HTTP/1.1"


async def test_it_always_asks_for_a_stream():
    request = a_request("Why?", sampling=Sampling(temperature=0.5, max_tokens=9, thinking=True), bounds=QUICK)
    _, server = await answer(OK, chunk("a", finish="length"), DONE, request=request, dialect=LLAMA_CPP)
    (body,) = server.requests
    assert body == {
        "cache_prompt": True,
        "model": "m",
        "messages": [{"role": "user", "content": "Why?"}],
        "temperature": 0.5,
        "max_tokens": 9,
        "stream": True,
        "stream_options": {"include_usage": True},
        "chat_template_kwargs": {"enable_thinking": True},
    }


@pytest.mark.parametrize(
    ("dialect", "asks"),
    [
        (LLAMA_CPP, {"continue_final_message": True, "add_generation_prompt": False}),
        (VLLM, {"continue_final_message": True, "add_generation_prompt": False}),
        (COMMON, {"continue_final_message": True, "add_generation_prompt": False}),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
async def test_going_on_is_asked_for_by_an_open_last_message_without_thinking(dialect, asks):
    request = a_request(
        partial="It opens at", sampling=Sampling(temperature=0.0, max_tokens=9, thinking=True), bounds=QUICK
    )
    said = (OK, chunk(" opens at"), chunk(" nine", finish="stop"), DONE)
    pieces, server = await answer(*said, request=request, dialect=dialect)
    assert pieces[:-1] == [Resumed(True), Text(" nine")]
    (body,) = server.requests
    assert body["messages"][-1] == {"role": "assistant", "content": "It"}
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert {key: body[key] for key in asks} == asks


@pytest.mark.parametrize("dialect", [MLX, TRANSFORMERS], ids=lambda dialect: dialect.name)
async def test_a_server_that_closes_the_last_message_is_asked_anew_at_once(dialect):
    request = a_request(partial="It opens at", bounds=QUICK)
    said = (OK, chunk("It opens"), chunk(" at nine", finish="stop"), DONE)
    pieces, server = await answer(*said, request=request, dialect=dialect)
    assert pieces[:-1] == [Resumed(True), Text(" nine")]
    (body,) = server.requests
    assert [message["role"] for message in body["messages"]] == ["user"]
    assert "continue_final_message" not in body


async def test_a_server_that_knows_no_open_last_message_is_asked_anew():
    request = a_request(partial="It opens at", bounds=QUICK)
    refused = refusal(422, {"detail": "Unexpected fields in the request: {'continue_final_message'}"})
    async with wire_server(refused) as server, open_session() as session:
        with pytest.raises(EngineRejected):
            await anext(OpenAICompatEngine(session).generate(Endpoint(server.url), request))
    assert [len(body["messages"]) for body in server.requests][:2] == [2, 1]


async def test_the_length_of_every_request_is_told_in_advance():
    _, server = await answer(OK, chunk("a", finish="stop"), DONE)
    assert "transfer-encoding" not in server.headers[0]
    assert int(server.headers[0]["content-length"]) > 0


@pytest.mark.parametrize(
    ("dialect", "field"), [(LLAMA_CPP, "reasoning_content"), (VLLM, "reasoning"), (MLX, "reasoning")]
)
async def test_reasoning_is_told_apart(dialect, field):
    said = (OK, chunk(delta={field: "hm"}), chunk("yes"), chunk(finish="stop"), DONE)
    pieces, _ = await answer(*said, dialect=dialect)
    assert pieces[:-1] == [Thought("hm"), Text("yes")]


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
async def test_of_an_unknown_server_every_spelling_of_reasoning_is_understood(field):
    said = (OK, chunk(delta={field: "hm"}), chunk("yes", delta={field: None}), chunk(finish="stop"), DONE)
    pieces, _ = await answer(*said)
    assert pieces[:-1] == [Thought("hm"), Text("yes")]


@pytest.mark.parametrize("dialect", [VLLM, COMMON], ids=lambda dialect: dialect.name)
async def test_reasoning_under_two_names_is_said_once(dialect):
    said = (
        OK,
        chunk(delta={"reasoning": "hm", "reasoning_content": "hm"}),
        chunk("yes", finish="stop"),
        DONE,
    )
    pieces, _ = await answer(*said, dialect=dialect)
    assert pieces[:-1] == [Thought("hm"), Text("yes")]


async def test_what_llama_cpp_sends_is_understood_to_the_last_figure():
    timings = {"cache_n": 10, "prompt_n": 4, "prompt_ms": 250.0, "predicted_n": 2, "predicted_ms": 40.5}
    counts = {"prompt_tokens": 14, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 10}}
    said = (
        *(OK, b'data: {"choices":[{"finish_reason":null,"delta":{"role":"assistant","content":null}}]}\n\n'),
        *(chunk("It opens."), b": ping\n\n", chunk(finish="stop")),
        *(
            b"data: " + json.dumps({"choices": [], "usage": counts, "timings": timings}).encode(),
            b"\n\n",
            DONE,
        ),
    )
    pieces, _ = await answer(*said, dialect=LLAMA_CPP)
    assert pieces == [Text("It opens."), End("stop", Usage(14, 2, prompt_s=0.25, completion_s=0.0405))]


async def test_durations_without_counts_are_kept():
    timings = {"prompt_ms": 250.0, "predicted_ms": 40.5}
    pieces, _ = await answer(OK, chunk("a", finish="stop", timings=timings), usage(7, 2), DONE)
    assert pieces[-1] == End("stop", Usage(7, 2, prompt_s=0.25, completion_s=0.0405))


async def test_what_vllm_sends_is_understood():
    said = (
        *(OK, chunk("", delta={"role": "assistant"}, usage=None), chunk("It opens.", usage=None)),
        b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}\n\n',
        *(usage(14, 2), DONE),
    )
    pieces, _ = await answer(*said, dialect=VLLM)
    assert pieces == [Text("It opens."), End("stop", Usage(14, 2))]


async def test_what_mlx_sends_is_understood_to_the_end_of_its_connection():
    said = (
        *(
            HTTP10,
            b": keepalive 0/900\n\n",
            0.01,
            b": keepalive 512/900\n\n",
            chunk(delta={"reasoning": "hm"}),
        ),
        *(chunk("It opens."), chunk("", finish="length"), usage(900, 3), DONE),
    )
    pieces, _ = await answer(*said, dialect=MLX)
    assert pieces == [Thought("hm"), Text("It opens."), End("length", Usage(900, 3))]


async def test_tags_at_the_start_are_reasoning_even_when_cut():
    said = (
        OK,
        *map(chunk, ("\n<th", "ink>a", "b</", "think>\n", "\nyes <think>")),
        chunk(finish="stop"),
        DONE,
    )
    pieces, _ = await answer(*said)
    assert "".join(p.text for p in pieces if isinstance(p, Thought)) == "ab"
    assert text_of(pieces) == "yes <think>"


@pytest.mark.parametrize("cut", range(1, 40, 3))
async def test_a_character_cut_between_two_reads_is_whole(cut):
    data = chunk("é…€😀", finish="stop")
    pieces, _ = await answer(OK, data[:cut], 0.001, data[cut:], DONE)
    assert text_of(pieces) == "é…€😀"


async def test_a_server_that_never_says_done_is_understood_at_its_end():
    pieces, _ = await answer(OK, chunk("a"), chunk(finish="stop"), end="hold", dialect=TRANSFORMERS)
    assert pieces[-1] == End("stop")


async def test_a_missing_done_does_not_spoil_a_finished_answer():
    for end in ("eof", "reset", "hold"):
        pieces, _ = await answer(OK, chunk("a"), chunk(finish="stop"), 0.02, end=end)
        assert pieces[-1] == End("stop")


FAILURES = {
    "an end without a finish reason": ((OK, chunk("a")), "eof", EngineTruncated),
    "done without a finish reason": ((OK, chunk("a"), DONE), "eof", EngineTruncated),
    "an abort": ((OK, chunk("a", finish="abort"), DONE), "eof", EngineTruncated),
    "an error for a finish": ((OK, chunk("a", finish="error"), DONE), "eof", EngineError),
    "the end of a connection without a length": ((HTTP10, chunk("a")), "eof", EngineTruncated),
    "comments on a connection without a length": ((HTTP10, b": keepalive 1/2\n\n"), "eof", EngineTruncated),
    "a tool call": ((OK, chunk(finish="tool_calls"), DONE), "eof", EngineError),
    "a reset in the middle": ((OK, chunk("a"), 0.05), "reset", EngineTruncated),
    "a reset of a chunked body": ((CHUNKED, *chunked(chunk("a")), 0.05), "reset", EngineTruncated),
    "a reset before the first piece": ((CHUNKED, *chunked(chunk("")), 0.05), "reset", EngineUnreachable),
    "a reset before the headers": ((0.01,), "reset", EngineUnreachable),
    "an end before the headers": ((), "eof", EngineUnreachable),
    "an error in the stream": (
        (OK, b'data: {"error":{"message":"x","code":500}}\n\n', DONE),
        "eof",
        EngineError,
    ),
    "an error of one word in the stream": ((OK, b'data: {"error": "CUDA"}\n\n'), "eof", EngineError),
    "an error in a field of its own": ((OK, b'error: {"code":500,"message":"x"}\n\n'), "eof", EngineError),
    "an overflow in the stream": (
        (OK, b'data: {"error":{"type":"exceed_context_size_error","code":400}}\n\n', DONE),
        "eof",
        ContextOverflow,
    ),
    "an error object": ((OK, b'data: {"object":"error","message":"x"}\n\n'), "eof", EngineError),
    "no JSON": ((OK, b"data: {oops\n\n"), "eof", EngineError),
    "no event": ((OK, b"<html>\n\n"), "eof", EngineError),
    "content that is no text": (
        (OK, b'data: {"choices":[{"delta":{"content":[1]}}]}\n\n'),
        "eof",
        EngineError,
    ),
    "choices that are no list": ((OK, b'data: {"choices":3}\n\n'), "eof", EngineError),
    "an endless line": ((OK, b"data: " + b"x" * 1_100_000), "hold", EngineError),
    "silence before the first piece": ((OK, chunk("")), "hold", EngineTimeout),
    "silence before the headers": ((), "hold", EngineTimeout),
    "silence after a piece": ((OK, chunk("a")), "hold", EngineTimeout),
    "pings and nothing else": ((OK, *(b": ping\n\n", 0.1) * 9), "hold", EngineTimeout),
    "loading": ((refusal(503, {"error": {"type": "unavailable_error"}}),), "eof", EngineUnreachable),
    "a crash": ((refusal(500, b"oops"),), "eof", EngineUnreachable),
    "too many requests": ((refusal(429, {}),), "eof", EngineUnreachable),
    "a wrong key": ((refusal(401, {"error": {"code": 401}}),), "eof", EngineRefused),
    "a redirect": ((refusal(302, b""),), "eof", EngineRefused),
    "a bad request": ((refusal(400, {"error": "nope"}),), "eof", EngineRejected),
    "a model that cannot be loaded on MLX": (
        (HTTP10.replace(b"200 OK", b"404 Not Found"), b'{"error": "Repository Not Found"}'),
        "eof",
        ModelMissing,
    ),
    "a model that is not there on vLLM": (
        (refusal(404, {"error": {"message": "The model `x` does not exist.", "type": "NotFoundError"}}),),
        "eof",
        ModelMissing,
    ),
    "a missing length on MLX": ((refusal(411, b""),), "eof", EngineRefused),
    "a long prompt that vLLM compares to another length": (
        (refusal(400, {"error": {"message": "The prompt is longer than the maximum model length of 9."}}),),
        "eof",
        ContextOverflow,
    ),
    "a long prompt on llama.cpp": (
        (refusal(400, {"error": {"code": 400, "type": "exceed_context_size_error", "n_ctx": 9}}),),
        "eof",
        ContextOverflow,
    ),
    "a long prompt on vLLM": (
        (refusal(400, {"error": {"message": "This model's maximum context length is 9 tokens."}}),),
        "eof",
        ContextOverflow,
    ),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_a_failure_has_its_name(name):
    say, end, expected = FAILURES[name]
    with pytest.raises(EngineError) as raised:
        await answer(*say, end=end)
    assert type(raised.value) is expected


async def test_nobody_listening_is_unreachable():
    async with wire_server() as server:
        url = server.url
    async with open_session() as session:
        engine = OpenAICompatEngine(session)
        with pytest.raises(EngineUnreachable):
            await anext(engine.generate(Endpoint(url), a_request()))
        with pytest.raises(EngineUnreachable):
            await engine.models(Endpoint(url))


async def test_closing_the_iterator_closes_the_connection_at_once():
    async with wire_server(OK, chunk("b"), end="hold") as server, open_session() as session:
        async with aclosing(
            OpenAICompatEngine(session).generate(Endpoint(server.url), a_request())
        ) as pieces:
            assert await anext(pieces) == Text("b")
            assert not server.closed_by_peer.is_set()
        async with asyncio.timeout(10):
            await server.closed_by_peer.wait()


async def test_cancelling_a_reader_before_the_headers_closes_the_connection():
    async with wire_server(end="hold") as server, open_session() as session:
        task = asyncio.ensure_future(
            anext(OpenAICompatEngine(session).generate(Endpoint(server.url), a_request()))
        )
        while not server.requests:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(10):
            await server.closed_by_peer.wait()


async def test_a_slow_reader_is_not_a_silent_server():
    async with (
        wire_server(OK, chunk("At "), 0.6, chunk("nine", finish="stop"), DONE) as server,
        open_session() as session,
    ):
        pieces = OpenAICompatEngine(session).generate(Endpoint(server.url), a_request(bounds=QUICK))
        await anext(pieces)
        await asyncio.sleep(0.7)
        assert [piece async for piece in pieces][-1] == End("stop")


async def test_models_are_listed():
    listed = refusal(200, {"object": "list", "data": [{"id": "a"}, {"id": "b"}]})
    async with wire_server(listed) as server, open_session() as session:
        models = await OpenAICompatEngine(session).models(Endpoint(server.url))
    assert [model.name for model in models] == ["a", "b"]
    assert models[0].thinks is None, "it does not say"


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"data":3}', b"oops", json.dumps({"data": [3]}).encode()])
async def test_a_list_of_models_that_cannot_be_read_is_an_error(body):
    async with wire_server(refusal(200, body)) as server, open_session() as session:
        with pytest.raises(EngineError):
            await OpenAICompatEngine(session).models(Endpoint(server.url))
