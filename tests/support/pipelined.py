"""A client that sends many requests at once on one connection, just as the test says, at next to no cost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

WITHIN_S = 20.0


@dataclass(frozen=True, slots=True)
class Reply:
    """One response."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def __getitem__(self, name: str) -> list[str]:
        """All lines of one header."""
        return [text for key, text in self.headers if key == name]

    def json(self) -> Any:
        return json.loads(self.body)


def request(
    path: str, headers: Mapping[str, str] | None = None, *, method: str = "GET", body: bytes = b""
) -> bytes:
    """A request as it travels."""
    lines = {"Host": "library.example.org", **(headers or {})}
    if body or method == "POST":
        lines["Content-Length"] = str(len(body))
    head = "".join(f"{name}: {text}\r\n" for name, text in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body


async def replies(port: int, requests: Sequence[bytes]) -> list[Reply]:
    """What is said to them, as far as the connection lasts."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found: list[Reply] = []
    try:
        async with asyncio.timeout(WITHIN_S):
            with suppress(ConnectionError):
                writer.write(b"".join(requests))
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while len(found) < len(requests):
                    found.append(await read_reply(reader))
    finally:
        await closed(writer)
    return found


async def closed(writer: asyncio.StreamWriter) -> None:
    """Close it, whatever the other side has done."""
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def reply(port: int, sent: bytes) -> Reply:
    """What is said to one request."""
    (found,) = await replies(port, [sent])
    return found


async def read_head(reader: asyncio.StreamReader) -> Reply:
    """A response without its body."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip().split("\r\n")
    headers = [(name.lower(), text) for name, _, text in (line.partition(": ") for line in lines)]
    return Reply(int(first.split()[1]), headers, b"")


async def read_reply(reader: asyncio.StreamReader) -> Reply:
    """A response, of a length that it tells."""
    head = await read_head(reader)
    length = int((head["content-length"] or ["0"])[0])
    return Reply(head.status, head.headers, await reader.readexactly(length))
