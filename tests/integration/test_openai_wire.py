"""The OpenAI protocol over a real socket: what a good, a bad and a dying server say."""

import asyncio
import json
from contextlib import aclosing

import pytest

from backend.core.errors import (
    ContextOverflow,
    EngineError,
    EngineRejected,
    EngineTimeout,
    EngineTruncated,
    EngineUnreachable,
)
from backend.core.types import Sampling, Usage
from backend.engines.base import Bounds, End, Endpoint, Text, Thought
from backend.engines.dialects import LLAMA_CPP, MLX, TRANSFORMERS, VLLM
from backend.engines.openai_compat import OpenAICompatEngine
from backend.infra.http import open_session
from tests.support.asks import a_request
from tests.support.wire import CHUNKED, DONE, OK, chunk, chunked, refusal, usage, wire_server

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
    ("dialect", "field"), [(LLAMA_CPP, "reasoning_content"), (VLLM, "reasoning"), (MLX, "reasoning")]
)
async def test_reasoning_is_told_apart(dialect, field):
    said = (OK, chunk(delta={field: "hm"}), chunk("yes"), chunk(finish="stop"), DONE)
    pieces, _ = await answer(*said, dialect=dialect)
    assert pieces[:-1] == [Thought("hm"), Text("yes")]


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
    "an error object": ((OK, b'data: {"object":"error","message":"x"}\n\n'), "eof", EngineError),
    "no JSON": ((OK, b"data: {oops\n\n"), "eof", EngineError),
    "no event": ((OK, b"<html>\n\n"), "eof", EngineError),
    "bad UTF-8": ((OK, b'data: {"choices":[{"delta":{"content":"\xff"}}]}\n\n'), "eof", EngineError),
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
    "a wrong key": ((refusal(401, {"error": {"code": 401}}),), "eof", EngineRejected),
    "a redirect": ((refusal(302, b""),), "eof", EngineRejected),
    "a bad request": ((refusal(400, {"error": "nope"}),), "eof", EngineRejected),
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
    async with wire_server(OK, chunk("a"), end="hold") as server, open_session() as session:
        async with aclosing(
            OpenAICompatEngine(session).generate(Endpoint(server.url), a_request())
        ) as pieces:
            assert await anext(pieces) == Text("a")
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
        wire_server(OK, chunk("a"), 0.6, chunk("b", finish="stop"), DONE) as server,
        open_session() as session,
    ):
        pieces = OpenAICompatEngine(session).generate(Endpoint(server.url), a_request(bounds=QUICK))
        await anext(pieces)
        await asyncio.sleep(0.7)
        assert [piece async for piece in pieces][-1] == End("stop")


async def test_models_are_listed():
    listed = refusal(200, {"object": "list", "data": [{"id": "a"}, {"id": "b"}]})
    async with wire_server(listed) as server, open_session() as session:
        assert await OpenAICompatEngine(session).models(Endpoint(server.url)) == ("a", "b")


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"data":3}', b"oops", json.dumps({"data": [3]}).encode()])
async def test_a_list_of_models_that_cannot_be_read_is_an_error(body):
    async with wire_server(refusal(200, body)) as server, open_session() as session:
        with pytest.raises(EngineError):
            await OpenAICompatEngine(session).models(Endpoint(server.url))
