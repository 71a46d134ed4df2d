"""Embedding services that answer in no useful way, on real sockets: told clearly, and in time."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from backend.config import Settings
from backend.core.clock import SystemClock
from backend.core.errors import EmbedderUnavailable
from backend.embedding.base import Embedder
from backend.wiring.embedder import open_embedder
from tests.support.wire import model_server, refusal, wire_server

BOUND_S = 0.3
GOOD = {"embeddings": [[3, 4]]}


@asynccontextmanager
async def embedder_of(url: str, *, kind: str = "ollama", **more: Any) -> AsyncIterator[Embedder]:
    section = {"url": url, "kind": kind, "model": "m", "dimensions": 2, "key": "geheim", "timeout_s": BOUND_S}
    async with AsyncExitStack() as stack:
        settings = Settings.model_validate({"embedding": section | more})
        yield await open_embedder(stack, settings, SystemClock())


async def refused(embedder: Embedder) -> str:
    began = time.monotonic()
    with pytest.raises(EmbedderUnavailable) as raised:
        await embedder.embed_queries(["When does it open?"])
    assert time.monotonic() - began < BOUND_S + 2
    assert "geheim" not in raised.value.message
    assert len(raised.value.message) < 300
    return raised.value.message


def page(length: int = 0) -> bytes:
    body = b"<html>Sign in</html>"
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length or len(body)}\r\n\r\n"
    return head.encode() + body


TRUNCATED = (
    b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n{"embeddings": [[1'
)
MOVED = b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/login?token=geheim\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("say", "end", "told"),
    [
        ([page()], "eof", "web page"),
        ([MOVED], "eof", "sends us to http://elsewhere/login"),
        ([refusal(401, {"error": "no"})], "eof", "another key"),
        ([refusal(404, b"404 page not found")], "eof", "nothing is served under this path"),
        ([refusal(404, {"error": "model 'm' not found"})], "eof", "no such model"),
        ([refusal(400, {"error": "this is wrong"})], "eof", "refuses the texts"),
        ([refusal(503, {"error": "busy"})], "eof", "cannot serve now (503"),
        ([refusal(200, {"error": "no"})], "eof", "no vectors that can be read"),
        ([refusal(200, {"embeddings": [[1, 2, 3]]})], "eof", "length 3"),
        ([refusal(200, {"embeddings": [[1, 2], [1, 2]]})], "eof", "2 vectors for 1 texts"),
        ([refusal(200, {"embeddings": [[0, 0]]})], "eof", "without a direction"),
        ([refusal(200, b'{"embeddings": [[NaN, 1]]}')], "eof", "no vectors that can be read"),
        ([TRUNCATED], "eof", "does not answer"),
        ([b"SSH-2.0-OpenSSH\r\n"], "eof", "does not speak HTTP"),
        ([], "reset", "does not answer"),
        ([], "hold", "silent for too long"),
        ([TRUNCATED], "hold", "silent for too long"),
        ([byte for part in TRUNCATED for byte in (bytes([part]), 0.1)], "hold", "silent for too long"),
    ],
)
async def test_what_is_no_answer_is_refused_in_time(say: list[Any], end: str, told: str) -> None:
    async with wire_server(*say, end=end) as server, embedder_of(server.url) as embedder:
        assert told in await refused(embedder)


async def test_a_text_that_is_too_long_for_the_service_is_sent_shorter() -> None:
    def chat(body: dict[str, Any]) -> list[bytes]:
        if any(len(text.split()) > 20 for text in body["input"]):
            return [refusal(500, {"error": {"message": "input (50 tokens) is too large to process"}})]
        rows = [{"index": i, "embedding": [3, 4]} for i, _ in enumerate(body["input"])]
        return [refusal(200, {"data": rows})]

    async with model_server(chat) as server:
        async with embedder_of(server.url, kind="openai", max_tokens=60) as embedder:
            rows = await embedder.embed_passages(["word " * 50, "short"])
        assert rows.shape == (2, 2)
        assert {body["input"][1] for body in server.chats[1:]} == {"short"}


async def test_one_text_that_is_refused_does_not_keep_the_others_away() -> None:
    def chat(body: dict[str, Any]) -> list[bytes]:
        is_odd = "odd" in json.dumps(body)
        return [refusal(500, {"error": "defect"}) if is_odd else refusal(200, GOOD)]

    async with model_server(chat) as server, embedder_of(server.url) as embedder:
        for _ in range(3):
            with pytest.raises(EmbedderUnavailable):
                await embedder.embed_queries(["odd"])
            assert (await embedder.embed_queries(["even"])).shape == (1, 2)


async def test_a_service_that_lists_another_model_is_not_asked_for_vectors() -> None:
    async with model_server(lambda _: [refusal(200, GOOD)], names=("other",)) as server:
        async with embedder_of(server.url, kind="openai") as embedder:
            for _ in range(3):
                assert "EMBEDDING_MODEL" in await refused(embedder)
        assert server.chats == []


async def test_a_foreign_service_is_not_taken_for_ours() -> None:
    rows = {"data": [{"index": 0, "embedding": [3, 4]}], "model": "m"}
    async with (
        model_server(lambda _: [refusal(200, rows)]) as server,
        embedder_of(server.url, kind="libriassist", model="m@0/int8") as embedder,
    ):
        assert "EMBEDDING_MODEL" in await refused(embedder)


async def test_readers_at_once_share_one_wait_for_a_silent_service() -> None:
    async with wire_server(end="hold") as server, embedder_of(server.url) as embedder:
        began = time.monotonic()
        results = await asyncio.gather(
            *(embedder.embed_queries([f"question {n}"]) for n in range(100)), return_exceptions=True
        )
        assert all(isinstance(one, EmbedderUnavailable) for one in results)
        assert time.monotonic() - began < BOUND_S + 2
        assert len(server.requests) <= 2, "only the look at it"


async def test_the_key_is_sent_and_prefixes_stand_before_the_texts() -> None:
    async with model_server(lambda _: [refusal(200, GOOD)]) as server:
        prefixes = {"query_prefix": "ask:", "passage_prefix": "doc:"}
        async with embedder_of(server.url, **prefixes) as embedder:
            await embedder.embed_queries(["a"])
            await embedder.embed_passages(["b"])
        assert [body["input"] for body in server.chats] == [["ready?"], ["ask: a"], ["doc: b"]]
    async with wire_server(refusal(200, GOOD)) as plain, embedder_of(plain.url) as embedder:
        await embedder.embed_queries(["a"])
        assert plain.headers[0]["authorization"] == "Bearer geheim"
