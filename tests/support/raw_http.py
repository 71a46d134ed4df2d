"""An HTTP client that hides nothing: when each byte came, in which chunk, how the connection ended."""

import asyncio
import json
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Raw:
    """One request on its own connection; times are seconds since it was sent."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    sent: float
    status: int = 0
    headers: dict = field(default_factory=dict)
    head_s: float = 0.0
    head: bytes = b""

    async def read_head(self) -> None:
        self.head = await self.reader.readuntil(b"\r\n\r\n")
        self.head_s = time.monotonic() - self.sent
        first, *rest = self.head.decode().split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in rest if line)}

    async def chunk(self) -> bytes:
        """The next chunk; b"" is the clean end."""
        size = int((await self.reader.readline()).strip(), 16)
        data = await self.reader.readexactly(size)
        await self.reader.readexactly(2)
        return data

    async def chunks(self):
        """(seconds, chunk) of each, to the clean end."""
        if not self.status:
            await self.read_head()
        while data := await self.chunk():
            yield time.monotonic() - self.sent, data

    async def body(self) -> bytes:
        if not self.status:
            await self.read_head()
        if "content-length" in self.headers:
            return await self.reader.readexactly(int(self.headers["content-length"]))
        return b"".join([data async for _, data in self.chunks()])

    async def objects(self) -> list:
        """Every chunk, parsed: one object each."""
        return [json.loads(data) async for _, data in self.chunks()]

    async def silent(self, seconds: float) -> bool:
        """Whether not one byte comes for so long."""
        try:
            async with asyncio.timeout(seconds):
                await self.reader.readexactly(1)
        except TimeoutError:
            return True
        return False

    def leave(self) -> None:
        self.writer.close()


@asynccontextmanager
async def raw(url: str, path: str, body=None, *, method: str | None = None, host: str | None = None):
    """Open a connection, send a request (to `host`, by default the one connected to), show what comes."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    method = method or ("GET" if body is None else "POST")
    writer.write(
        f"{method} {path} HTTP/1.1\r\nHost: {parts.netloc if host is None else host}\r\n"
        f"Content-Length: {len(data)}\r\n\r\n".encode()
        + data
    )
    try:
        yield Raw(reader, writer, time.monotonic())
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def answer(
    url: str, path: str, body=None, *, method: str | None = None, host: str | None = None
) -> tuple[int, dict, bytes]:
    """Status, headers and body of a request."""
    async with raw(url, path, body, method=method, host=host) as it:
        whole = await it.body() if method != "HEAD" else await it.read_head() or b""
        return it.status, it.headers, whole


def chat(content="hello", *, model="llama3.1:8b", **more) -> dict:
    """The body of a chat request with one question."""
    messages = more.pop("messages", [{"role": "user", "content": content}])
    return {"model": model, "messages": messages, **more}
