"""A small HTTP client on the standard library: a command that only speaks to the server starts in no time.

One request a connection; answers of a known length, in chunks, or to the end of the connection.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from backend.core.errors import Unavailable

CONNECT_S: Final = 5.0
SILENCE_S: Final = 60.0
"""Longest wait for the next piece of an answer; streams send a heartbeat more often."""
_LONGEST_HEAD: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Response:
    """A status, and the body as it comes."""

    status: int
    body: AsyncIterator[bytes]

    async def read(self) -> bytes:
        """The whole body.

        Raises:
            Unavailable
        """
        return b"".join([piece async for piece in self.body])


@asynccontextmanager
async def request(
    method: str, url: str, *, headers: Mapping[str, str], body: bytes = b""
) -> AsyncIterator[Response]:
    """One request; its connection is closed on leaving.

    Raises:
        Unavailable: Nobody answers, or what does speaks no HTTP.
    """
    place = urlsplit(url)
    try:
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(
                place.hostname, place.port or 80, limit=_LONGEST_HEAD
            )
    except (OSError, TimeoutError) as exc:
        raise _silent() from exc
    try:
        told = {"Host": place.netloc, "Connection": "close", "Content-Length": str(len(body)), **headers}
        path = place.path + (f"?{place.query}" if place.query else "")
        head = "".join(f"{name}: {value}\r\n" for name, value in told.items())
        writer.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
        status, answered = await _head(reader)
        yield Response(status, _body(reader, answered))
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def form(files: Iterable[tuple[str, bytes, str]]) -> tuple[str, bytes]:
    """Files (name, bytes, origin) as a form: its content type, and the body."""
    mark = secrets.token_hex(16)
    head = f'--{mark}\r\nContent-Disposition: form-data; name="'
    parts = [
        f'{head}origin"\r\n\r\n{origin}\r\n{head}file"; filename="{_quoted(name)}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n".encode()
        + content
        for name, content, origin in files
    ]
    return f"multipart/form-data; boundary={mark}", b"\r\n".join([*parts, f"--{mark}--\r\n".encode()])


def _quoted(name: str) -> str:
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


async def _head(reader: asyncio.StreamReader) -> tuple[int, Mapping[str, str]]:
    first, *lines = (await _bounded(reader.readuntil(b"\r\n\r\n"))).decode("latin-1").split("\r\n")
    status = first.split(" ")[1:2]
    if not first.startswith("HTTP/1.") or not status or not status[0].isdecimal():
        raise _silent()
    fields = (line.partition(":") for line in lines if line)
    return int(status[0]), {name.lower(): value.strip() for name, _, value in fields}


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> AsyncIterator[bytes]:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        while size := await _chunk_size(reader):
            yield await _bounded(reader.readexactly(size))
            await _bounded(reader.readexactly(2))
    elif "content-length" in headers:
        yield await _bounded(reader.readexactly(_number(headers["content-length"], 10)))
    else:
        while piece := await _bounded(reader.read(_LONGEST_HEAD)):
            yield piece


async def _chunk_size(reader: asyncio.StreamReader) -> int:
    line = await _bounded(reader.readuntil(b"\r\n"))
    return _number(line.decode("latin-1").partition(";")[0], 16)


def _number(text: str, base: int) -> int:
    try:
        return int(text, base)
    except ValueError as exc:
        raise _silent() from exc


async def _bounded(reading: Awaitable[bytes]) -> bytes:
    try:
        async with asyncio.timeout(SILENCE_S):
            return await reading
    except (OSError, TimeoutError, EOFError, asyncio.LimitOverrunError) as exc:
        raise _silent() from exc


def _silent() -> Unavailable:
    return Unavailable("the running server does not answer")
