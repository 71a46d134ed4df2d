"""A replica's double behind NGINX: what it does stands in the request's query, so that it needs no state.

    /…/events, /…/stream   events 1, 2, … as told: ?events=3&gap_ms=50&pings=5&ping_ms=100&after=1&pad=99
    elsewhere              200 with what was asked, as JSON; ?wait_ms=500 first
    anywhere               ?reset=1 the connection is cut once the request is here

As a process of its own, for what only a process can suffer: `python -m tests.support.upstream PORT`.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from devstack.child import Child, free_port, listens, running, where_we_are_found

HEADERS = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'self'"}
PLENTY = 10**9
LARGE = b"let x = 1;\n" * 400


@dataclass(slots=True)
class Seen:
    """A request as it came."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes = b""

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    def __getitem__(self, name: str) -> list[str]:
        """All lines of one header."""
        return [text for key, text in self.headers if key == name]

    def number(self, name: str) -> int:
        """A number in the query; 0 without."""
        return int(parse_qs(urlsplit(self.target).query).get(name, ["0"])[0])


@dataclass(slots=True)
class Upstream:
    """A running double.

    Attributes:
        allowed: A permit an event; plenty, until a test holds them back.
        left: Streams whose reader has gone before their end.
        open: Connections.
    """

    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    allowed: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(PLENTY))
    left: int = 0
    open: set[asyncio.StreamWriter] = field(default_factory=set)

    def of(self, path: str) -> list[Seen]:
        """What was asked there."""
        return [one for one in self.seen if one.path == path]

    def hold(self) -> None:
        """From now on every event waits for a permit."""
        self.allowed = asyncio.Semaphore(0)

    def free(self) -> None:
        """As it was before `hold`, for those that wait as well."""
        held, self.allowed = self.allowed, asyncio.Semaphore(PLENTY)
        for _ in range(1000):
            held.release()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Every request of a connection."""
        self.open.add(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                asked = await _asked(reader)
                self.seen.append(asked)
                if asked.number("reset"):
                    writer.transport.abort()
                    break
                await asyncio.sleep(asked.number("wait_ms") / 1000)
                if asked.path.rstrip("/").endswith(("/events", "/stream")):
                    await self._events(asked, writer)
                    break
                _answer(asked, writer)
                await writer.drain()
        writer.close()
        self.open.discard(writer)

    async def _events(self, asked: Seen, writer: asyncio.StreamWriter) -> None:
        head = "Content-Type: text/event-stream\r\nX-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n"
        writer.write(f"HTTP/1.1 200 OK\r\n{head}{_lines(HEADERS)}\r\n".encode())
        try:
            await self._sent(asked, writer)
        except ConnectionError:
            self.left += 1

    async def _sent(self, asked: Seen, writer: asyncio.StreamWriter) -> None:
        for _ in range(asked.number("pings")):
            writer.write(_chunk(b": ping\n\n"))
            await writer.drain()
            await asyncio.sleep(asked.number("ping_ms") / 1000)
        pad = " " * asked.number("pad")
        for number in range(asked.number("after") + 1, asked.number("events") + 1):
            await self.allowed.acquire()
            writer.write(_chunk(f"id: {number}\ndata: {number}{pad}\n\n".encode()))
            await writer.drain()
            await asyncio.sleep(asked.number("gap_ms") / 1000)
        writer.write(_chunk(b""))


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def _asked(reader: asyncio.StreamReader) -> Seen:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = [(name.lower(), text) for name, _, text in (line.partition(": ") for line in lines)]
    asked = Seen(method, target, headers)
    asked.body = await reader.readexactly(int((asked["content-length"] or ["0"])[0]))
    return asked


def _answer(asked: Seen, writer: asyncio.StreamWriter) -> None:
    kind, body = "application/json", json.dumps({"method": asked.method, "target": asked.target}).encode()
    if asked.path.endswith(".js"):
        kind, body = "text/javascript", LARGE
    head = f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n{_lines(HEADERS)}"
    writer.write(f"HTTP/1.1 200 OK\r\n{head}\r\n".encode() + body)


def _lines(headers: dict[str, str]) -> str:
    return "".join(f"{name}: {text}\r\n" for name, text in headers.items())


@asynccontextmanager
async def upstream(host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Upstream]:
    """One in this loop."""
    it = Upstream()
    server = await asyncio.start_server(it.serve, host, port, limit=2**20)
    it.url = "http://{}:{}".format(*server.sockets[0].getsockname())
    try:
        yield it
    finally:
        server.close()
        it.free()
        for writer in list(it.open):
            writer.transport.abort()
        await asyncio.sleep(0.01)  # so that each connection sees its end


@contextmanager
def upstream_process(folder: Path, port: int = 0) -> Iterator[tuple[str, Child]]:
    """One in a process of its own: its URL and the process."""
    port = port or free_port()
    command = [sys.executable, "-m", "tests.support.upstream", str(port)]
    with running(f"upstream-{port}", command, folder=folder, environment=where_we_are_found()) as child:
        child.until(lambda: listens(port), 20.0)
        yield f"http://127.0.0.1:{port}", child


async def _main(port: int) -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with upstream(port=port):
        await ended.wait()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
