"""A model server that costs next to nothing: for measuring what stands in front of it.

    python -m loadtests.fast_engine --port 0 --tokens 256 --gap-ms 0 --barrier 1

Speaks just enough of Ollama (`/api/tags`, `/api/chat`) and of OpenAI (`/v1/models`, `/v1/chat/completions`).
Every token is its own line and its own write. No stream begins before `barrier` requests are there, so that a
measurement begins with all of them. Prints one JSON line with its address when it listens.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from dataclasses import dataclass, field

TOKEN = " word"
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nConnection: close\r\n\r\n"
_LISTS = {
    b"/api/tags": {"models": [{"name": "fast", "model": "fast", "capabilities": ["completion"]}]},
    b"/v1/models": {"object": "list", "data": [{"id": "fast", "object": "model"}]},
}


@dataclass(frozen=True, slots=True)
class Speech:
    """How one protocol says a token, and how it ends."""

    media_type: bytes
    token: bytes
    end: bytes


def _ollama() -> Speech:
    said = {"model": "fast", "message": {"role": "assistant", "content": TOKEN}, "done": False}
    end = {**said, "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"}
    return Speech(
        b"application/x-ndjson", json.dumps(said).encode() + b"\n", json.dumps(end).encode() + b"\n"
    )


def _openai() -> Speech:
    def line(delta: dict[str, str], finish: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return b"data: " + json.dumps({"id": "x", "choices": [choice]}).encode() + b"\n\n"

    return Speech(
        b"text/event-stream", line({"content": TOKEN}, None), line({}, "stop") + b"data: [DONE]\n\n"
    )


SPEECHES = {b"/api/chat": _ollama(), b"/v1/chat/completions": _openai()}


@dataclass(slots=True)
class FastEngine:
    """The server.

    Args:
        tokens: Tokens of each answer.
        gap_s: Between two tokens of a stream; 0: as fast as the socket takes them.
        barrier: Streams begin together, this many at a time.
    """

    tokens: int
    gap_s: float
    barrier: int
    _waiting: list[asyncio.Future[None]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ", 2)[1]
            length = next(
                (
                    int(x.split(b":")[1])
                    for x in head.lower().split(b"\r\n")
                    if x.startswith(b"content-length")
                ),
                0,
            )
            await reader.readexactly(length)
            if path in SPEECHES:
                await self._speak(writer, SPEECHES[path])
            else:
                writer.write(_HEAD % b"application/json" + json.dumps(_LISTS.get(path, {})).encode())
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _speak(self, writer: asyncio.StreamWriter, speech: Speech) -> None:
        await self._all_here()
        writer.write(_HEAD % speech.media_type)
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in range(self.tokens):
            if self.gap_s:
                await asyncio.sleep(max(0.0, began + number * self.gap_s - loop.time()))
            writer.write(speech.token)
            if not self.gap_s and number % 16 == 15:
                await writer.drain()
        writer.write(speech.end)

    async def _all_here(self) -> None:
        here: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(here)
        if len(self._waiting) >= self.barrier:
            for waiting in self._waiting:
                if not waiting.done():
                    waiting.set_result(None)
            self._waiting.clear()
        await here


async def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description="A model server that costs next to nothing.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--gap-ms", type=float, default=0.0)
    parser.add_argument("--barrier", type=int, default=1)
    args = parser.parse_args()
    engine = FastEngine(args.tokens, args.gap_ms / 1000, args.barrier)
    server = await asyncio.start_server(engine.serve, "127.0.0.1", args.port, backlog=2048)
    host, port = server.sockets[0].getsockname()[:2]
    sys.stdout.write(json.dumps({"url": f"http://{host}:{port}"}) + "\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
