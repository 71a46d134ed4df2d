"""Answers of a server, as the client of commands reads them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress

import pytest

from backend.cli.client import ServerClient
from backend.core.errors import LibriError, Unavailable
from backend.infra import plain_http as http


@asynccontextmanager
async def answering(*pieces: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that sends `pieces` to whatever comes, and what came."""
    came: list[bytes] = []
    tasks: set[asyncio.Task[None] | None] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        came.append(await reader.readuntil(b"\r\n\r\n"))
        with closing(writer), suppress(OSError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.01)

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", came
        await asyncio.gather(*filter(None, tasks))


WHOLE = {
    "of a length": (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b'{"a":', b" 12}"),
    "in chunks": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n",
        b'{"a":\r\n4;x=y\r\n 1',
        b"2}\r\n0\r\n\r\n",
    ),
    "to the end": (b"HTTP/1.0 200 OK\r\n\r\n{", b'"a": 12}'),
}


@pytest.mark.parametrize("pieces", WHOLE.values(), ids=WHOLE)
async def test_a_body_comes_whole(pieces: tuple[bytes, ...]) -> None:
    async with answering(*pieces) as (url, came):
        assert await ServerClient(url, "the-key").json("GET", "/x", params={"q": "a b"}) == {"a": 12}
    assert came[0].startswith(b"GET /x?q=a+b HTTP/1.1\r\n")
    assert b"Authorization: Bearer the-key\r\n" in came[0]


@pytest.mark.parametrize(
    "pieces",
    [
        (),
        (b"\x00\xff\r\n\r\n",),
        (b"SSH-2.0-x\r\n\r\n",),
        (b"HTTP/1.1 okay\r\n\r\n",),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nshort",),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab",),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n<p>",),
        (b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n{}",),
        (b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\n{}",),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-2\r\n{}",),
        (b"a" * 70_000,),
    ],
)
async def test_what_is_no_answer_is_one_error(pieces: tuple[bytes, ...]) -> None:
    async with answering(*pieces) as (url, _):
        with pytest.raises(Unavailable, match="does not answer"):
            await ServerClient(url, "k").json("GET", "/x")


async def test_nobody_there_is_the_same_error(unused_tcp_port_factory: Callable[[], int]) -> None:
    with pytest.raises(Unavailable):
        await ServerClient(f"http://127.0.0.1:{unused_tcp_port_factory()}", "k").json("GET", "/x")


async def test_a_refusal_is_the_servers_own() -> None:
    body = b'{"code": "not_found", "detail": "no such instance"}'
    head = b"HTTP/1.1 404 Not Found\r\ncontent-length: %d\r\n\r\n" % len(body)
    async with answering(head + body) as (url, _):
        with pytest.raises(LibriError, match="no such instance"):
            await ServerClient(url, "k").json("GET", "/x")


async def test_events_come_one_by_one_wherever_the_stream_is_cut() -> None:
    text = b'retry: 1\nevent: started\ndata: {"n": 1}\n\n: ping\n\n'
    text += b'id: 1-1\nevent: delta\ndata: {"text": "a: b"}\n\n'
    pieces = [
        b"%x\r\n%b\r\n" % (len(part), part) for part in (text[i : i + 7] for i in range(0, len(text), 7))
    ]
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    async with answering(head, b"".join(pieces) + b"0\r\n\r\n") as (url, _):
        seen = [event async for event in ServerClient(url, "k").ask({"question": "q"})]
    assert seen == [("started", {"n": 1}), ("delta", {"text": "a: b"})]


def test_a_form_keeps_names_and_bytes() -> None:
    kind, body = http.form([('a"\r\n.md', b"\x00\r\n--", "file:///a"), ("é.txt", b"", "file:///b")])
    mark = kind.partition("boundary=")[2].encode()
    assert body.count(b"--" + mark) == 5
    assert body.endswith(b"--" + mark + b"--\r\n")
    assert b'filename="a%22%0D%0A.md"' in body
    assert 'filename="é.txt"'.encode() in body
    assert b"\r\n\r\n\x00\r\n--\r\n--" + mark in body
