"""HTTP/1.1 as Go's server speaks it: header order, chunking, and nothing on the wire before there must be.

One protocol object a connection, one task a request. A request is cancelled the moment its client goes away,
be it by a reset or by an end of file, as Go cancels its context.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote, urlsplit

import httptools

logger = logging.getLogger(__name__)

BUFFERED = 2048
"""A longer body is chunked: Go's writer knows the length only of what fits its buffer."""
_GO_REASONS = {499: "status code 499"}


@dataclass(slots=True)
class Request:
    """A parsed request, with its whole body."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    keep_alive: bool = True


class Exchange:
    """A request and its response on one connection.

    Attributes:
        gone: The client has left; writing does nothing.
        begun: The status line is out (or queued with the first bytes).
        on_gone: Called at the moment the client leaves, before the request's task is cancelled.
    """

    def __init__(self, connection: Connection, request: Request) -> None:
        self.request = request
        self.gone = False
        self.begun = False
        self.finished = False
        self.on_gone: list[Callable[[], None]] = []
        self._connection = connection
        self._head = b""

    def begin(self, status: int, content_type: str) -> None:
        """Fix status and type; not a byte is sent before the first chunk."""
        self.begun = True
        head = _status_line(status) + f"Content-Type: {content_type}\r\nDate: {_date()}\r\n".encode()
        self._head = head + b"Transfer-Encoding: chunked\r\n\r\n"

    def chunk(self, data: bytes) -> None:
        """One object: one chunk, one write."""
        if self.gone:
            return
        framed = b"%x\r\n%b\r\n" % (len(data), data)
        if self._head:
            framed, self._head = self._head + framed, b""
        self._connection.write(framed)

    def end(self) -> None:
        """The last chunk: a clean end."""
        self._connection.write(self._head + b"0\r\n\r\n")
        self._head = b""
        self._finish()

    def whole(self, status: int, content_type: str, body: bytes, extra: str = "") -> None:
        """A response that is complete: with its length if Go would know it, else in one chunk."""
        self.begun = True
        is_head = self.request.method == "HEAD"
        fits = len(body) <= BUFFERED
        kind = f"Content-Type: {content_type}\r\n" if content_type else ""
        size = f"Content-Length: {len(body)}\r\n" if fits else "Transfer-Encoding: chunked\r\n"
        if is_head and not fits:
            size = ""
        head = _status_line(status) + f"{extra}{kind}Date: {_date()}\r\n{size}\r\n".encode()
        framed = body if fits else b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        self._connection.write(head if is_head else head + framed)
        self._finish()

    def piped(self, status: int, content_type: str, body: bytes) -> None:
        """A response that is complete and yet chunked: Go flushed it before it knew the end."""
        self.begin(status, content_type)
        self.chunk(body)
        self.end()

    def cut_short(self, status: int, content_type: str, body: bytes, size: int) -> None:
        """A response that promises `size` bytes and closes after `body`."""
        head = f"Content-Type: {content_type}\r\nDate: {_date()}\r\nContent-Length: {size}\r\n\r\n"
        self._connection.write(_status_line(status) + head.encode() + body)
        self.hang_up()

    async def drain(self) -> None:
        """Until the socket has taken what was written."""
        await self._connection.drain()

    def hang_up(self) -> None:
        """Close the connection after what was written."""
        self.finished = True
        self._connection.close()

    def reset(self) -> None:
        """Cut the connection with a TCP reset."""
        self.finished = True
        self._connection.reset()

    def _finish(self) -> None:
        self.finished = True
        self._connection.finished(self)


Handler = Callable[[Exchange], Awaitable[None]]


@dataclass(slots=True)
class HttpServer:
    """A listening socket and its connections.

    Args:
        handler: Answers one exchange; what it raises is logged and becomes status 500.
        accept_delay_s: Real seconds before a new connection is looked at.
    """

    handler: Handler
    host: str = "127.0.0.1"
    port: int = 0
    accept_delay_s: Callable[[], float] = lambda: 0.0
    connections: set[Connection] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    stopped: bool = False
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    _server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def listening(self) -> bool:
        return self._server is not None

    async def listen(self) -> None:
        """Accept connections; the port stays the same from the first time on."""
        async with self._opening:
            if self._server is None:
                loop = asyncio.get_running_loop()
                self._server = await loop.create_server(
                    lambda: Connection(self), self.host, self.port, reuse_address=True, backlog=4096
                )
                self.port = self._server.sockets[0].getsockname()[1]

    def refuse(self) -> None:
        """Accept no more; open connections go on."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def stop(self, *, stopped: bool) -> None:
        """As SIGSTOP does: connections open and stay, not a byte is read or written until it goes on."""
        if stopped != self.stopped:
            self.stopped = stopped
            for connection in list(self.connections):
                connection.stop(stopped=stopped)

    def cut_all(self, *, reset: bool) -> None:
        """End every connection."""
        for connection in list(self.connections):
            if reset:
                connection.reset()
            else:
                connection.close()

    async def close(self) -> None:
        """Stop, and wait for the tasks of all requests."""
        self.refuse()
        for connection in list(self.connections):
            connection.abort()
        for task in list(self.tasks):
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=5)

    def serve(self, exchange: Exchange) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(self._answer(exchange))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def _answer(self, exchange: Exchange) -> None:
        try:
            await self.handler(exchange)
        except asyncio.CancelledError:
            return
        except Exception:
            logger.exception("the emulator failed on %s", exchange.request.path)
            if exchange.begun:
                exchange.reset()
            else:
                exchange.whole(500, "text/plain; charset=utf-8", b"emulator error")


class Connection(asyncio.Protocol):
    """One client connection: parses requests, runs them one after the other."""

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._transport: Any = None
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[Request] = deque()
        self._current: Exchange | None = None
        self._task: asyncio.Task[None] | None = None
        self._drained: asyncio.Event = asyncio.Event()
        self._drained.set()
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._held: list[bytes] = []
        self._closing = False

    # -- asyncio.Protocol ---------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._server.connections.add(self)
        if self._server.stopped:
            self.stop(stopped=True)
        if delay := self._server.accept_delay_s():
            self._transport.pause_reading()
            if delay != float("inf"):
                asyncio.get_running_loop().call_later(delay, self._look)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._refuse()

    def eof_received(self) -> bool:
        self._left()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        self._drained.set()
        self._left()

    def pause_writing(self) -> None:
        self._drained.clear()

    def resume_writing(self) -> None:
        self._drained.set()

    # -- httptools ----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._url, self._headers, self._body = b"", {}, []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._headers.get("expect", "").lower() == "100-continue":
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if "host" not in self._headers and self._parser.get_http_version() == "1.1":
            self._refuse("missing required Host header")
            return
        parts = urlsplit(self._url.decode("latin-1"))
        request = Request(
            self._parser.get_method().decode(),
            unquote(parts.path),
            parts.query,
            self._headers,
            b"".join(self._body),
            self._parser.should_keep_alive(),
        )
        self._waiting.append(request)
        self._next()

    # -- for exchanges ------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        if self._server.stopped:
            self._held.append(data)
        elif not self._transport.is_closing():
            self._transport.write(data)

    def stop(self, *, stopped: bool) -> None:
        """Read and write no more, or go on with what was held back."""
        if self._transport.is_closing():
            return
        if stopped:
            self._transport.pause_reading()
            return
        self._transport.resume_reading()
        held, self._held = self._held, []
        self._transport.writelines(held)
        if self._closing:
            self._transport.close()

    async def drain(self) -> None:
        await self._drained.wait()

    def finished(self, exchange: Exchange) -> None:
        self._current = None
        if not exchange.request.keep_alive:
            self.close()
        else:
            self._next()

    def close(self) -> None:
        if self._server.stopped:
            self._closing = True
        else:
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def reset(self) -> None:
        """A linger of zero turns the close into a reset."""
        if (raw := self._transport.get_extra_info("socket")) is not None and not self._transport.is_closing():
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def _refuse(self, why: str = "") -> None:
        self.write(b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n")
        self.write(f"Connection: close\r\n\r\n400 Bad Request{why and f': {why}'}".encode())
        self.close()

    def _look(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def _next(self) -> None:
        if self._current is None and self._waiting:
            self._current = Exchange(self, self._waiting.popleft())
            self._task = self._server.serve(self._current)

    def _left(self) -> None:
        exchange, self._current = self._current, None
        self._waiting.clear()
        if exchange is not None and not exchange.finished:
            exchange.gone = True
            for tell in exchange.on_gone:
                tell()
            if self._task is not None:
                self._task.cancel()


def _status_line(status: int) -> bytes:
    reason = _GO_REASONS.get(status) or HTTPStatus(status).phrase
    return f"HTTP/1.1 {status} {reason}\r\n".encode()


def _date() -> str:
    return _date_at(int(time.monotonic()))


@lru_cache(maxsize=2)
def _date_at(_second: int) -> str:
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
