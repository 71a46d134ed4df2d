"""Streams of tokens and how a client sees them: raw sockets, an engine, and what may stand before it."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from loadtests.fast_engine import TOKEN, Load

_WORD = TOKEN.strip().encode()
_STAMP = re.compile(rb"@(\d+);")
_ENDS = (b"event: done", b'"done": true', b"[DONE]")
_DELTA = b"event: delta"
_TAIL_BYTES = 400
OURS = "LibriAssist"


def question(number: int) -> str:
    """A question that no other stream asks, and that the document answers."""
    return f"When does the library open in the morning, shelf {number}?"


@dataclass(slots=True)
class Stream:
    """One answer as a client saw it; times are of the event loop, in seconds.

    Attributes:
        sources: When the passages were shown; 0 where there are none.
        delays: From an engine's write of a token to our read of it; empty if the tokens bear no stamp.
    """

    sent: float
    sources: float = 0.0
    first: float = 0.0
    last: float = 0.0
    tokens: int = 0
    retrieval_s: float = 0.0
    delays: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Read:
    """What one read brought."""

    tokens: int
    events: int


Seen = Callable[[Stream, Read], object]
"""Told of each read, at once, with the stream so far."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to ask, and how."""

    name: str
    url: str
    path: str

    def body(self, load: Load, number: int) -> bytes:
        """The request that asks `question(number)`."""
        if self.path.startswith("/api/v1/"):
            return json.dumps({"question": question(number), "model": load.name}).encode()
        said = [{"role": "user", "content": f"{number}"}]
        return json.dumps({"model": load.name, "messages": said, "stream": True}).encode()


async def one(target: Target, load: Load, number: int, seen: Seen | None = None) -> Stream:
    """Ask, read to the end.

    Raises:
        RuntimeError: The stream broke off, or lacks tokens.
    """
    address = urlsplit(target.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=2**20)
    now = asyncio.get_running_loop().time
    body = target.body(load, number)
    head = (
        f"POST {target.path} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    stream, tail = Stream(now()), b""
    writer.write(head.encode() + body)
    try:
        async with asyncio.timeout(180):
            while data := await reader.read(2**16):
                stream.last = now()
                read = _note(stream, load, tail + data, len(tail))
                if seen is not None:
                    seen(stream, read)
                tail = (tail + data)[-_TAIL_BYTES:]
    finally:
        writer.close()
    if stream.tokens != load.tokens or not any(end in tail for end in _ENDS):
        raise RuntimeError(f"{target.name}: a stream broke off: {tail[-200:]!r}")
    stream.retrieval_s = _retrieval_s(tail)
    return stream


def _note(stream: Stream, load: Load, text: bytes, known: int) -> Read:
    """Write down what came after the first `known` bytes of `text`."""
    if not stream.tokens and not stream.sources and b"event: sources" in text:
        stream.sources = stream.last
    if load.stamped:
        stamps = [int(match[1]) for match in _STAMP.finditer(text) if match.end() > known]
        stream.delays += [stream.last - stamp / 1e6 for stamp in stamps]
        came = len(stamps)
    else:
        came = text.count(_WORD) - text.count(_WORD, 0, known)
    if came and not stream.tokens:
        stream.first = stream.last
    stream.tokens += came
    return Read(came, text.count(_DELTA) - text.count(_DELTA, 0, known))


def _retrieval_s(text: bytes) -> float:
    _, mark, rest = text.rpartition(b'"retrieval_s":')
    return float(rest.split(b",", 1)[0]) if mark else 0.0


async def many(target: Target, load: Load, seen: Seen | None = None) -> list[Stream]:
    """All of a load's streams at once."""
    return await asyncio.gather(*(one(target, load, number, seen) for number in range(load.together)))


def rate(streams: Sequence[Stream]) -> float:
    """Tokens per second, from the first token of any stream to the end of all."""
    took = max(stream.last for stream in streams) - min(stream.first for stream in streams)
    return sum(stream.tokens for stream in streams) / took


class CpuPerToken:
    """CPU time that a process takes for a token, while tokens flow: after the first, before the last ends.

    Args:
        tokens: Of the whole load; the first and the last tenth are left out, so that opening and closing
            of streams, which cost much more, do not count.
    """

    def __init__(self, cpu_s: Callable[[], float], tokens: int) -> None:
        self._cpu_s = cpu_s
        self._from, self._to = tokens // 10, tokens - tokens // 10
        self._tokens = self._events = 0
        self._marks: list[tuple[int, int, float]] = []

    def seen(self, read: Read) -> None:
        """More tokens came."""
        self._tokens += read.tokens
        self._events += read.events
        if self._tokens >= (self._from, self._to, float("inf"))[len(self._marks)]:
            self._marks.append((self._tokens, self._events, self._cpu_s()))

    @property
    def us(self) -> float:
        """Microseconds a token."""
        (first, _, began_s), (last, _, ended_s) = self._marks
        return (ended_s - began_s) / (last - first) * 1e6

    @property
    def event_us(self) -> float:
        """Microseconds an event: of a token that travels alone, however many a busy machine puts together."""
        (_, first, began_s), (_, last, ended_s) = self._marks
        return (ended_s - began_s) / (last - first) * 1e6


def cpu_of(process: psutil.Process) -> Callable[[], float]:
    """Reads the CPU time that a process has taken, in seconds."""
    return lambda: float(sum(process.cpu_times()[:2]))


@asynccontextmanager
async def process(
    *command: str, environment: Mapping[str, str] | None = None, stdout: int = asyncio.subprocess.DEVNULL
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A child process, gone at the end."""
    child = await asyncio.create_subprocess_exec(
        *command, env=os.environ | (environment or {}), stdout=stdout, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.terminate()
        await child.wait()


@asynccontextmanager
async def engine(loads: Sequence[Load]) -> AsyncIterator[str]:
    """A fast engine with a model for each load; its address."""
    command = (sys.executable, "-m", "loadtests.fast_engine", *(load.name for load in loads))
    async with process(*command, stdout=asyncio.subprocess.PIPE) as child:
        assert child.stdout is not None
        yield str(json.loads(await child.stdout.readline())["url"])


@asynccontextmanager
async def application(
    folder: Path, engine_url: str, *, more: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[Target, psutil.Process]]:
    """The application in a process of its own, in front of `engine_url`; `more` variables are set for it."""
    address = folder / "server.json"
    environment = {
        "LIBRI_DATA__DIR": str(folder), "LIBRI_SERVER__PORT": "0",
        "LLM_BACKEND": "ollama", "OLLAMA_URLS": engine_url,
        "OLLAMA_NUM_PARALLEL": "5000", "LIBRI_LOGGING__LEVEL": "ERROR", "LIBRI_CHAT__MAX_LIVE": "5000",
        "LIBRI_SERVER__SHUTDOWN_GRACE_S": "0",
    } | dict(more or {})  # fmt: skip
    async with process(sys.executable, "-m", "backend", "serve", environment=environment) as child:
        async with asyncio.timeout(120):
            while not address.exists():
                await asyncio.sleep(0.05)
        url = json.loads(address.read_bytes())["url"]
        yield Target(OURS, url, "/api/v1/chat/stream"), psutil.Process(child.pid)


@asynccontextmanager
async def litellm(
    scratch: Path, venv: Path, engine_url: str, *, workers: int = 1
) -> AsyncIterator[tuple[Target, psutil.Process]]:
    """LiteLLM's proxy from its own virtual environment, in front of `engine_url`."""
    config = scratch / "litellm.yaml"
    route = {"model": "openai/*", "api_base": f"{engine_url}/v1", "api_key": "none"}
    config.write_text(json.dumps({"model_list": [{"model_name": "*", "litellm_params": route}]}))
    port = _free_port()
    environment = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # or it looks for the newest on the network
        "LITELLM_TELEMETRY": "False",
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
    }
    place = ("--config", str(config), "--host", "127.0.0.1", "--port", str(port))
    options = (*place, "--num_workers", str(workers))
    async with process(str(venv / "bin" / "litellm"), *options, environment=environment) as child:
        await _listens(port, within_s=180)
        yield Target("LiteLLM", f"http://127.0.0.1:{port}", "/v1/chat/completions"), psutil.Process(child.pid)


def _free_port() -> int:
    """A port that nobody is given by chance while a slow starter gets ready."""
    for port in random.sample(range(20_000, 30_000), 100):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise RuntimeError("no port is free")


async def _listens(port: int, *, within_s: float) -> None:
    async with asyncio.timeout(within_s):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.1)
            else:
                writer.close()
                return
