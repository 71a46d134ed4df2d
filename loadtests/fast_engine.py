"""A model server that costs next to nothing: for measuring what stands in front of it.

    python -m loadtests.fast_engine 256-0-1 400-5-200-stamped

Speaks just enough of Ollama (`/api/tags`, `/api/chat`) and of OpenAI (`/v1/models`, `/v1/chat/completions`).
A model's name says what it does (`Load`). Every token is its own line and its own write. Prints one JSON line
with its address when it listens.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic_ns

TOKEN = " word"
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Load:
    """What a model says.

    Attributes:
        tokens: Of each answer.
        gap_ms: Between two tokens of a stream; 0: as fast as the socket takes them.
        together: No stream begins before so many requests are there.
        stamped: Each token is ` @N;`, N the `time.monotonic` at which it was written, in microseconds:
            the same clock for every process of this machine.
    """

    tokens: int
    gap_ms: int = 0
    together: int = 1
    stamped: bool = False

    @property
    def name(self) -> str:
        """The model's name."""
        return f"{self.tokens}-{self.gap_ms}-{self.together}" + "-stamped" * self.stamped

    @classmethod
    def parse(cls, name: str) -> Load:
        """The load that a model's name says."""
        tokens, gap_ms, together, *stamped = name.split("-")
        return cls(int(tokens), int(gap_ms), int(together), bool(stamped))


@dataclass(frozen=True, slots=True)
class Speech:
    """How one protocol says a token, and how it ends."""

    media_type: bytes
    before: bytes
    after: bytes
    end: bytes

    def token(self, text: str = TOKEN) -> bytes:
        """One token, as it travels."""
        return self.before + text.encode() + self.after


def _ollama() -> Speech:
    said = {"model": "fast", "message": {"role": "assistant", "content": TOKEN}, "done": False}
    end = {**said, "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"}
    before, after = json.dumps(said).encode().split(TOKEN.encode())
    return Speech(b"application/x-ndjson", before, after + b"\n", json.dumps(end).encode() + b"\n")


def _openai() -> Speech:
    def line(delta: dict[str, str], finish: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return b"data: " + json.dumps({"id": "x", "choices": [choice]}).encode() + b"\n\n"

    before, after = line({"content": TOKEN}, None).split(TOKEN.encode())
    return Speech(b"text/event-stream", before, after, line({}, "stop") + b"data: [DONE]\n\n")


SPEECHES = {b"/api/chat": _ollama(), b"/v1/chat/completions": _openai()}


@dataclass(slots=True)
class FastEngine:
    """The server; it lists `models`."""

    models: Sequence[str]
    _waiting: dict[str, list[asyncio.Future[None]]] = field(default_factory=lambda: defaultdict(list))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ", 2)[1]
            body = await reader.readexactly(_length(head))
            if path in SPEECHES:
                await self._speak(writer, SPEECHES[path], Load.parse(json.loads(body)["model"]))
            else:
                writer.write(_HEAD % b"application/json" + json.dumps(self._list(path)).encode())
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _list(self, path: bytes) -> object:
        if path == b"/v1/models":
            return {"object": "list", "data": [{"id": name, "object": "model"} for name in self.models]}
        models = [{"name": name, "model": name, "capabilities": ["completion"]} for name in self.models]
        return {"models": models} if path == b"/api/tags" else {}

    async def _speak(self, writer: asyncio.StreamWriter, speech: Speech, load: Load) -> None:
        await self._all_here(load)
        writer.write(_HEAD % speech.media_type)
        loop = asyncio.get_running_loop()
        began, token = loop.time(), speech.token()
        for number in range(load.tokens):
            if load.gap_ms:
                await asyncio.sleep(max(0.0, began + number * load.gap_ms / 1000 - loop.time()))
            writer.write(speech.token(f" @{monotonic_ns() // 1000};") if load.stamped else token)
            if not load.gap_ms and number % 16 == 15:
                await writer.drain()
        writer.write(speech.end)

    async def _all_here(self, load: Load) -> None:
        here: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting[load.name]
        waiting.append(here)
        if len(waiting) >= load.together:
            for other in waiting:
                if not other.done():
                    other.set_result(None)
            waiting.clear()
        await here


def _length(head: bytes) -> int:
    lines = head.lower().split(b"\r\n")
    return next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length")), 0)


async def main() -> None:
    """Serve until killed."""
    server = await asyncio.start_server(FastEngine(sys.argv[1:]).serve, "127.0.0.1", 0, backlog=2048)
    host, port = server.sockets[0].getsockname()[:2]
    sys.stdout.write(json.dumps({"url": f"http://{host}:{port}"}) + "\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
