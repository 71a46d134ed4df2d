"""A small HTTP client on the standard library: a command that only speaks to servers starts in no time.

One request a connection; answers of a known length, in chunks, or to the end of the connection. No proxy and
no credential is taken from the environment, and no redirect is followed.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import ssl
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import Final
from urllib.parse import SplitResult, urlsplit

from backend.core.errors import Unavailable

CONNECT_S: Final = 5.0
SILENCE_S: Final = 60.0
"""Longest wait for the next piece of an answer; streams send a heartbeat more often."""
_LONGEST_HEAD: Final = 64 * 1024
_DIGITS: Final = re.compile("[0-9a-fA-F]{1,16}")


@dataclass(frozen=True, slots=True)
class Response:
    """A status, the headers by their names in small letters, and the body as it comes."""

    status: int
    headers: Mapping[str, str]
    body: AsyncIterator[bytes]

    async def read(self) -> bytes:
        """The whole body.

        Raises:
            Unavailable
        """
        return b"".join([piece async for piece in self.body])


@asynccontextmanager
async def request(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    body: bytes = b"",
    connect_s: float = CONNECT_S,
    silence_s: float | None = SILENCE_S,
) -> AsyncIterator[Response]:
    """One request; its connection is closed on leaving.

    `silence_s` is the longest wait for the next piece of the answer; None: the caller has bounds of its own.

    Raises:
        Unavailable: Nobody answers, or what does speaks no HTTP; `__cause__` is what went wrong.
    """
    place = urlsplit(url)
    reader, writer = await _connected(place, connect_s)
    try:
        told = {"Host": _host(place), "Connection": "close", "Content-Length": str(len(body)), **headers}
        path = (place.path or "/") + (f"?{place.query}" if place.query else "")
        head = "".join(f"{name}: {value}\r\n" for name, value in told.items())
        writer.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
        status, answered = await _head(reader, silence_s)
        yield Response(status, answered, _body(reader, answered, silence_s))
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _connected(
    place: SplitResult, connect_s: float
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    tls = _tls() if place.scheme == "https" else None
    try:
        async with asyncio.timeout(connect_s):
            return await asyncio.open_connection(
                place.hostname, place.port or (443 if tls else 80), ssl=tls, limit=_LONGEST_HEAD
            )
    except (OSError, TimeoutError, ValueError) as exc:  # ValueError: the address is none
        raise _silent() from exc


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()  # 32 ms to make


def _host(place: SplitResult) -> str:
    """Value of the header that names the server: without what would let one in, and in ASCII."""
    return place.netloc.rpartition("@")[2].encode("idna" if not place.netloc.isascii() else "ascii").decode()


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


async def _head(reader: asyncio.StreamReader, silence_s: float | None) -> tuple[int, Mapping[str, str]]:
    whole = await _bounded(reader.readuntil(b"\r\n\r\n"), silence_s)
    first, *lines = whole.decode("latin-1").split("\r\n")
    status = first.split(" ")[1:2]
    if not first.startswith("HTTP/1.") or not status or not status[0].isdecimal():
        raise _silent()
    fields = (line.partition(":") for line in lines if line)
    return int(status[0]), {name.lower(): value.strip() for name, _, value in fields}


async def _body(
    reader: asyncio.StreamReader, headers: Mapping[str, str], silence_s: float | None
) -> AsyncIterator[bytes]:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        while left := await _chunk_size(reader, silence_s):
            async for piece in _exactly(reader, left, silence_s):
                yield piece
            await _bounded(reader.readexactly(2), silence_s)
    elif "content-length" in headers:
        async for piece in _exactly(reader, _number(headers["content-length"], 10), silence_s):
            yield piece
    else:
        while piece := await _bounded(reader.read(_LONGEST_HEAD), silence_s):
            yield piece


async def _exactly(reader: asyncio.StreamReader, left: int, silence_s: float | None) -> AsyncIterator[bytes]:
    """So many bytes, as they come."""
    while left:
        piece = await _bounded(reader.read(min(left, _LONGEST_HEAD)), silence_s)
        if not piece:
            raise _silent()
        left -= len(piece)
        yield piece


async def _chunk_size(reader: asyncio.StreamReader, silence_s: float | None) -> int:
    line = await _bounded(reader.readuntil(b"\r\n"), silence_s)
    return _number(line.decode("latin-1").partition(";")[0], 16)


def _number(text: str, base: int) -> int:
    if not _DIGITS.fullmatch(text.strip()):
        raise _silent()
    try:
        return int(text, base)
    except ValueError as exc:
        raise _silent() from exc


async def _bounded(reading: Awaitable[bytes], silence_s: float | None) -> bytes:
    try:
        async with asyncio.timeout(silence_s):
            return await reading
    except (OSError, TimeoutError, EOFError, asyncio.LimitOverrunError) as exc:
        raise _silent() from exc


def _silent() -> Unavailable:
    return Unavailable("the server does not answer")
