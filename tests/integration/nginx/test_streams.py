"""Answers while they are written: each event at once, silence that is none, readers who go."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from devstack.nginx import CURRENT, TLS, Front
from tests.support.pipelined import closed, read_head, request
from tests.support.proxy import front
from tests.support.upstream import Upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Cut(Exception):
    """The connection ended, and the response had not."""


STREAMS = ["/api/v1/chat/stream", "/api/v1/runs/run-1/events", "/assist/api/v1/chat/stream/"]


@asynccontextmanager
async def opened(door: Front, path: str, **options: str) -> AsyncIterator[asyncio.StreamReader]:
    """A stream, after its head."""
    headers = {"Accept-Encoding": "gzip", "Authorization": f"Bearer {path}", **options}
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    try:
        async with asyncio.timeout(20):
            writer.write(request(path, headers))
            head = await read_head(reader)
            assert (head.status, head["content-type"]) == (200, ["text/event-stream"])
            assert head["content-encoding"] == []
            yield reader
    finally:
        await closed(writer)


async def chunk(reader: asyncio.StreamReader) -> bytes:
    """The next chunk; b"" is the clean end.

    Raises:
        Cut
    """
    line = await reader.readline()
    if not line:
        raise Cut
    size = int(line, 16)
    data = await reader.readexactly(size)
    await reader.readexactly(2)
    return data


async def rest(reader: asyncio.StreamReader) -> bytes:
    """What comes until the clean end."""
    return b"".join([data async for data in _chunks(reader)])


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while data := await chunk(reader):
        yield data


@pytest.mark.parametrize("path", STREAMS)
async def test_an_event_is_read_before_the_next_is_written(path: str, door: Front, replica: Upstream):
    replica.hold()
    async with opened(door, f"{path}?events=5") as reader:
        for number in range(1, 6):
            replica.allowed.release()
            assert await chunk(reader) == f"id: {number}\ndata: {number}\n\n".encode()
        assert await chunk(reader) == b""
    replica.free()


@pytest.mark.parametrize("path", STREAMS)
async def test_heartbeats_keep_a_stream_that_says_nothing_else(path: str, replica: Upstream):
    with front([replica.url], changes={"proxy_read_timeout 45s": "proxy_read_timeout 1s"}) as door:
        async with opened(door, f"{path}?pings=6&ping_ms=400&events=1") as reader:
            assert await rest(reader) == b": ping\n\n" * 6 + b"id: 1\ndata: 1\n\n"


async def test_a_replica_that_gives_no_sign_of_life_is_left(replica: Upstream):
    replica.hold()
    with front([replica.url], changes={"proxy_read_timeout 45s": "proxy_read_timeout 1s"}) as door:
        async with opened(door, f"{STREAMS[1]}?pings=1&events=1") as reader:
            assert await chunk(reader) == b": ping\n\n"
            with pytest.raises(Cut):
                await rest(reader)  # so a reader comes back, and asks another
    replica.free()


async def test_a_reader_who_goes_is_known_to_the_replica_at_once(door: Front, replica: Upstream):
    before = replica.left
    async with opened(door, f"{STREAMS[0]}?events=100000&gap_ms=20") as reader:
        assert await chunk(reader)
    async with asyncio.timeout(5):
        while replica.left == before:
            await asyncio.sleep(0.02)


async def test_files_of_the_page_are_compressed_and_keep_the_applications_headers(door: Front):
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(request("/assets/0123/page.js", {"Accept-Encoding": "gzip"}))
    head = await read_head(reader)
    assert (head["content-encoding"], head["vary"]) == (["gzip"], ["Accept-Encoding"])
    for name in ("x-content-type-options", "content-security-policy"):
        assert len(head[name]) == 1
    assert head["strict-transport-security"] == []
    await closed(writer)


@pytest.mark.parametrize("command", [None, CURRENT], ids=["of this machine", "current"])
async def test_over_tls_http_2_is_spoken_and_the_browser_is_told_to_stay(command, replica: Upstream):
    with front([replica.url], conf=TLS, command=command) as door:
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        trusting.set_alpn_protocols(["h2", "http/1.1"])
        _, writer = await asyncio.open_connection("127.0.0.1", door.port, ssl=trusting)
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        await closed(writer)
        trusting.set_alpn_protocols(["http/1.1"])
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port, ssl=trusting)
        writer.write(request("/"))
        head = await read_head(reader)
        assert head["strict-transport-security"] == ["max-age=31536000"]
        assert replica.seen[-1]["x-forwarded-proto"] == ["https"]
        await closed(writer)


async def test_what_a_caller_says_of_itself_is_replaced_by_what_is_seen(door: Front, replica: Upstream):
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    lies = {"X-Forwarded-For": "10.0.0.1", "x-forwarded-for": "10.0.0.2", "X-Forwarded-Proto": "https"}
    writer.write(request("/told", {**lies, "X_Forwarded_For": "10.0.0.3", "X-Request-Id": "mine-1"}))
    await read_head(reader)
    await closed(writer)
    (seen,) = replica.of("/told")
    assert seen["x-forwarded-for"] == ["127.0.0.1"]
    assert seen["x_forwarded_for"] == []
    assert seen["x-forwarded-proto"] == ["http"]
    assert seen["x-request-id"] == ["mine-1"]
    assert seen["host"] == ["library.example.org"]
