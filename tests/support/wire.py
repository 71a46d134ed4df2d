"""A model server made of bytes: says exactly what a test wants on a real socket."""

import asyncio
import json
import socket
import struct
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"

CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

HTTP10 = b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
"""Its end is the end of the connection."""


@dataclass
class WireServer:
    """`say` is sent piece by piece; a float pauses, an Event waits; `end` is "eof", "reset" or "hold"."""

    say: tuple = ()
    end: str = "eof"
    url: str = ""
    requests: list = field(default_factory=list)
    headers: list = field(default_factory=list)
    closed_by_peer: asyncio.Event = field(default_factory=asyncio.Event)

    async def _serve(self, reader, writer):
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            lines = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
            self.headers.append(
                {"request": head.split("\r\n")[0], **{k.lower(): v for k, v in lines.items()}}
            )
            size = int(self.headers[-1].get("content-length", 0))
            self.requests.append(json.loads(await reader.readexactly(size)) if size else None)
            for step in self.say:
                if isinstance(step, float):
                    await asyncio.sleep(step)
                elif isinstance(step, asyncio.Event):
                    await step.wait()
                else:
                    writer.write(step)
                    await writer.drain()
            if self.end == "hold":
                await reader.read()
                self.closed_by_peer.set()
            elif self.end == "reset":
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.closed_by_peer.set()
        finally:
            writer.close()


@asynccontextmanager
async def wire_server(*say, end="eof"):
    it = WireServer(say, end)
    server = await asyncio.start_server(it._serve, "127.0.0.1", 0)
    it.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield it
    finally:
        server.close()


def refusal(status, body):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data


def chunk(content=None, *, finish=None, **more):
    delta = {**({"content": content} if content is not None else {}), **more.pop("delta", {})}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice], **more}, ensure_ascii=False).encode() + b"\n\n"


def chunked(*parts):
    return [f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in parts]


def usage(prompt, completion):
    counts = {"prompt_tokens": prompt, "completion_tokens": completion}
    return b"data: " + json.dumps({"choices": [], "usage": counts}).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


NDJSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n\r\n"


def line(content="", *, done=False, **more):
    """A line of Ollama's `/api/chat`."""
    message = {"role": "assistant", "content": content, **more.pop("message", {})}
    return json.dumps({"model": "m", "message": message, "done": done, **more}).encode() + b"\n"


LAST = line(done=True, done_reason="stop")


@dataclass
class ModelServer(WireServer):
    """Lists its models in both protocols; answers each chat with what `chat(body)` gives: bytes, pauses."""

    chat: Callable[[dict], list] = field(kw_only=True)
    names: tuple = ("m",)
    chats: list = field(default_factory=list)
    greeting: bytes = b""

    async def _serve(self, reader, writer):
        try:
            writer.write(self.greeting)
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            lines = [one.split(":", 1) for one in head.split("\r\n")[1:] if one]
            size = int({name.lower(): text for name, text in lines}.get("content-length", 0))
            body = json.loads(await reader.readexactly(size)) if size else None
            for step in self._said(head.split(" ")[1], body):
                if isinstance(step, float):
                    await asyncio.sleep(step)
                else:
                    writer.write(step)
                    await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _said(self, path, body):
        if path in ("/v1/models", "/api/tags", "/api/ps"):
            listed = [{"id": name, "name": name, "model": name, "details": {}} for name in self.names]
            return [refusal(200, {"data": listed, "models": listed, "object": "list"})]
        self.chats.append(body)
        return self.chat(body)


@asynccontextmanager
async def model_server(chat, names=("m",), *, greeting=b""):
    it = ModelServer(chat=chat, names=names, greeting=greeting)
    server = await asyncio.start_server(it._serve, "127.0.0.1", 0)
    it.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield it
    finally:
        server.close()
