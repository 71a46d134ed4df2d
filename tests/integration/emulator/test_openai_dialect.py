"""Section B18 and H58: OpenAI's dialect, and what is lost in the translation."""

import base64
import json
import struct

import pytest

from tests.support.emulator import emulator
from tests.support.raw_http import answer, chat, raw

PATH = "/v1/chat/completions"


@pytest.fixture
async def server():
    async with emulator(time_scale=0, reply="Nine [1].") as it:
        yield it


async def events(server, body) -> list:
    async with raw(server.url, PATH, {**body, "stream": True}) as it:
        text = b"".join([data async for _, data in it.chunks()]).decode()
        assert it.headers["content-type"] == "text/event-stream"
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


async def test_a_stream_names_the_role_once_and_ends_with_done(server):
    got = await events(server, chat())
    deltas = [e["choices"][0]["delta"] for e in got[:-1]]
    assert [("role" in d) for d in deltas] == [True] + [False] * (len(deltas) - 1)
    assert "".join(d.get("content", "") for d in deltas) == "Nine [1]."
    assert (deltas[-1], got[-2]["choices"][0]["finish_reason"], got[-1]) == ({}, "stop", "[DONE]")
    assert got[0]["system_fingerprint"] == "fp_ollama"


async def test_usage_comes_only_when_asked_for(server):
    got = await events(server, {**chat(), "stream_options": {"include_usage": True}})
    assert got[-2]["choices"] == []
    assert got[-2]["usage"]["total_tokens"] == sum(
        got[-2]["usage"][k] for k in ("prompt_tokens", "completion_tokens")
    )
    assert not any("usage" in e for e in got[:-2])


async def test_reasoning_has_a_field_of_its_own_and_can_be_switched_off(server):
    got = await events(server, chat(model="qwen3:8b"))
    assert got[0]["choices"][0]["delta"].keys() == {"role", "content", "reasoning"}
    got = await events(server, chat(model="qwen3:8b", reasoning_effort="none"))
    assert "reasoning" not in got[0]["choices"][0]["delta"]


async def test_an_error_in_the_middle_is_lost(server):
    await server.fault("error_mid", k=2)
    got = await events(server, chat())
    assert len(got) == 3
    assert got[-1]["choices"] == [{"index": 0, "delta": {}, "finish_reason": None}]


async def test_the_native_stream_says_what_the_other_loses(server):
    await server.fault("error_mid", k=2)
    async with raw(server.url, "/api/chat", chat()) as it:
        assert list((await it.objects())[-1]) == ["error"]


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (chat(model="nobody"), 404, "not_found_error"),
        (chat(messages=[]), 400, "invalid_request_error"),
        (chat(reasoning_effort="high"), 400, "invalid_request_error"),
        (chat(seed="x"), 400, "invalid_request_error"),
        (chat(reasoning_effort="warp"), 400, "invalid_request_error"),
        (chat(model="nomic-embed-text"), 400, "invalid_request_error"),
        (b"", 400, "invalid_request_error"),
        (chat("x", messages="hello"), 400, "invalid_request_error"),
    ],
)
async def test_errors_have_openais_shape(server, body, status, kind):
    got, _, data = await answer(server.url, PATH, body)
    error = json.loads(data)["error"]
    assert (got, error["type"], error["param"], error["code"]) == (status, kind, None, None)


async def test_a_whole_answer(server):
    _, headers, data = await answer(server.url, PATH, chat())
    whole = json.loads(data)
    assert headers["content-type"] == "application/json"
    assert whole["object"] == "chat.completion"
    assert whole["choices"][0]["message"] == {"role": "assistant", "content": "Nine [1]."}
    assert whole["usage"]["completion_tokens"] == 5


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/models", None),
        ("/v1/models/llama3.1:8b", None),
        ("/v1/models/nobody", None),
        ("/v1/completions", {"model": "llama3.1:8b", "prompt": "x"}),
        ("/v1/embeddings", {"model": "nomic-embed-text", "input": "x"}),
        ("/v1/embeddings", {"model": "nobody", "input": "x"}),
        ("/v1/chat/completions", chat(model="nobody")),
    ],
)
async def test_whatever_is_not_streamed_has_the_bare_media_type(server, path, body):
    assert (await answer(server.url, path, body))[1]["content-type"] == "application/json"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"])
async def test_an_empty_body_is_refused_in_the_words_of_the_translation(server, path):
    status, _, data = await answer(server.url, path, b"", method="POST")
    assert (status, json.loads(data)["error"]["message"]) == (400, "EOF")


async def test_an_answer_of_no_tokens_still_ends_with_an_empty_delta(server):
    await server.knobs(reply={"scripts": [""]})
    (last, done) = await events(server, chat())
    assert (last["choices"], done) == ([{"index": 0, "delta": {}, "finish_reason": "stop"}], "[DONE]")


async def test_arguments_of_a_tool_call_are_text_here(server):
    await server.knobs(reply={"scripts": [{"tool_calls": [{"name": "find", "arguments": {"q": 1}}]}]})
    got = await events(server, chat(tools=[{"type": "function", "function": {"name": "find"}}]))
    (call,) = got[0]["choices"][0]["delta"]["tool_calls"]
    assert call["function"] == {"name": "find", "arguments": '{"q":1}'}
    assert got[-2]["choices"][0]["finish_reason"] == "tool_calls"


async def test_max_tokens_ends_with_length(server):
    got = await events(server, chat(max_tokens=1))
    assert got[-2]["choices"][0]["finish_reason"] == "length"


async def test_models(server):
    _, _, data = await answer(server.url, "/v1/models")
    listed = json.loads(data)
    assert listed["object"] == "list"
    assert {"id", "object", "created", "owned_by"} == listed["data"][0].keys()
    _, _, data = await answer(server.url, "/v1/models/llama3.1:8b")
    assert json.loads(data)["id"] == "llama3.1:8b"
    assert (await answer(server.url, "/v1/models/nobody"))[0] == 404


async def test_text_completions(server):
    _, _, data = await answer(server.url, "/v1/completions", {"model": "llama3.1:8b", "prompt": "x"})
    assert json.loads(data)["choices"][0]["text"] == "Nine [1]."


async def test_embeddings_as_numbers_and_as_text(server):
    body = {"model": "nomic-embed-text", "input": "x"}
    _, _, data = await answer(server.url, "/v1/embeddings", body)
    numbers = json.loads(data)["data"][0]["embedding"]
    _, _, data = await answer(server.url, "/v1/embeddings", {**body, "encoding_format": "base64"})
    packed = base64.b64decode(json.loads(data)["data"][0]["embedding"])
    assert list(struct.unpack(f"<{len(packed) // 4}f", packed)) == pytest.approx(numbers, abs=1e-7)
