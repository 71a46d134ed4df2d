"""What the path of a token costs: run, log and SSE of one process, before an engine that costs nothing.

Straight to the engine and through the application in the same run, over raw sockets. Tokens are counted; the
time of a run of streams is from the first token of any to the end of all. Retrieval is left out of the added
time to first token by the application's own timings.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from loadtests.bench import Report, arguments
from loadtests.fast_engine import TOKEN

DOCUMENT = "# Opening hours\n\nThe library opens at nine in the morning from Tuesday to Saturday.\n"
_WORD = TOKEN.strip().encode()
_ENDS = (b"event: done", b'"done": true', b"[DONE]")


@dataclass(frozen=True, slots=True)
class Stream:
    """One answer as a client saw it; times are of the event loop, in seconds."""

    sent: float
    first: float
    last: float
    tokens: int
    retrieval_s: float


@dataclass(frozen=True, slots=True)
class Target:
    """Where to ask, and how."""

    name: str
    url: str
    path: str

    def body(self, number: int) -> bytes:
        """A question that no other stream asks."""
        if self.path.startswith("/api/v1/"):
            return json.dumps(
                {"question": f"When does the library open in the morning, shelf {number}?"}
            ).encode()
        return json.dumps({"model": "fast", "messages": [{"role": "user", "content": f"{number}"}]}).encode()


async def one(target: Target, number: int) -> Stream:
    """Ask, read to the end."""
    address = urlsplit(target.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=2**20)
    loop = asyncio.get_running_loop()
    body = target.body(number)
    head = (
        f"POST {target.path} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    sent = loop.time()
    writer.write(head.encode() + body)
    first, tokens, tail = 0.0, 0, b""
    try:
        async with asyncio.timeout(120):
            while data := await reader.read(2**16):
                seen = (tail + data).count(_WORD) - tail.count(_WORD)
                if seen and not tokens:
                    first = loop.time()
                tokens += seen
                tail = (tail + data)[-400:]
    finally:
        writer.close()
    if not any(end in tail for end in _ENDS):
        raise RuntimeError(f"{target.name}: a stream broke off: {tail[-200:]!r}")
    return Stream(sent, first, loop.time(), tokens, _retrieval_s(tail))


def _retrieval_s(tail: bytes) -> float:
    _, mark, rest = tail.rpartition(b'"retrieval_s":')
    return float(rest.split(b",", 1)[0]) if mark else 0.0


async def many(target: Target, streams: int) -> list[Stream]:
    """All at once."""
    return await asyncio.gather(*(one(target, number) for number in range(streams)))


def rate(streams: Sequence[Stream]) -> float:
    """Tokens per second, from the first token of any stream to the end of all."""
    took = max(stream.last for stream in streams) - min(stream.first for stream in streams)
    return sum(stream.tokens for stream in streams) / took


@asynccontextmanager
async def process(*command: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A child process, gone at the end."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *command, env=os.environ | environment, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield child
    finally:
        if child.returncode is None:
            child.terminate()
        await child.wait()


@asynccontextmanager
async def engine(tokens: int, gap_ms: float, barrier: int) -> AsyncIterator[str]:
    """A fast engine; its address."""
    options = ("--tokens", str(tokens), "--gap-ms", str(gap_ms), "--barrier", str(barrier))
    async with process("loadtests.fast_engine", *options) as child:
        assert child.stdout is not None
        yield str(json.loads(await child.stdout.readline())["url"])


@asynccontextmanager
async def application(folder: Path, engine_url: str) -> AsyncIterator[tuple[str, psutil.Process]]:
    """The application in a process of its own, in front of `engine_url`; its address and process."""
    address = folder / "server.json"
    environment = {
        "LIBRI_DATA__DIR": str(folder), "LIBRI_SERVER__PORT": "0",
        "LLM_BACKEND": "ollama", "OLLAMA_URLS": engine_url,
        "OLLAMA_NUM_PARALLEL": "5000", "LIBRI_LOGGING__LEVEL": "ERROR", "LIBRI_CHAT__MAX_LIVE": "5000",
        "LIBRI_SERVER__SHUTDOWN_GRACE_S": "0",
    }  # fmt: skip
    async with process("backend", "serve", **environment) as child:
        async with asyncio.timeout(120):
            while not address.exists():
                await asyncio.sleep(0.05)
        yield json.loads(address.read_bytes())["url"], psutil.Process(child.pid)


@asynccontextmanager
async def both(
    folder: Path, *, tokens: int, gap_ms: float, barrier: int = 1
) -> AsyncIterator[tuple[Target, Target, psutil.Process]]:
    """The engine itself, and the application before it."""
    async with engine(tokens, gap_ms, barrier) as url, application(folder, url) as (served, running):
        yield (
            Target("engine", url, "/api/chat"),
            Target("application", served, "/api/v1/chat/stream"),
            running,
        )


async def first_tokens(report: Report, folder: Path, runs: int) -> None:
    """Added time to first token at one stream, retrieval left out."""
    async with both(folder, tokens=1, gap_ms=0) as (straight, through, _):
        for target in (straight, through):
            await one(target, 0)
        direct = [s.first - s.sent for s in [await one(straight, n) for n in range(runs)]]
        seen = [await one(through, n) for n in range(1, runs + 1)]
    added = [s.first - s.sent - s.retrieval_s - statistics.median(direct) for s in seen]
    cuts = statistics.quantiles(added, n=100)
    rows = [
        (
            "straight to the engine",
            statistics.median(direct) * 1000,
            statistics.quantiles(direct, n=100)[98] * 1000,
        ),
        ("added, retrieval left out", cuts[49] * 1000, cuts[98] * 1000),
        ("retrieval", *(q * 1000 for q in _p50_p99([s.retrieval_s for s in seen]))),
    ]
    report.table("Time to first token, one stream, ms", ("what", "p50", "p99"), rows, key="first_token_ms")
    report.bar("added time to first token p50, ms", cuts[49] * 1000, at_most=5.0)


def _p50_p99(values: Sequence[float]) -> tuple[float, float]:
    cuts = statistics.quantiles(values, n=100)
    return cuts[49], cuts[98]


async def rates(report: Report, folder: Path, counts: Sequence[int], repeats: int) -> None:
    """Tokens per second, instant and paced, straight and through, in turns."""
    rows = []
    for gap_ms, tokens in ((0.0, 1024), (5.0, 400)):
        for streams in counts:
            async with both(folder, tokens=tokens, gap_ms=gap_ms, barrier=streams) as (
                straight,
                through,
                running,
            ):
                direct, ours, cpu = [], [], []
                for _ in range(repeats):
                    direct.append(rate(await many(straight, streams)))
                    before = sum(running.cpu_times()[:2])
                    answers = await many(through, streams)
                    ours.append(rate(answers))
                    cpu.append((sum(running.cpu_times()[:2]) - before) / sum(s.tokens for s in answers) * 1e6)
            pace = "instant" if not gap_ms else "every 5 ms"
            mine, theirs = statistics.median(ours), statistics.median(direct)
            rows.append((pace, streams, theirs, mine, mine / theirs, statistics.median(cpu)))
            bar = {("instant", 200): 40_000, ("every 5 ms", 200): 15_000}.get((pace, streams))
            if bar:
                report.bar(f"tokens/s, {pace}, {streams} streams", mine, at_least=bar)
    columns = (
        "tokens",
        "streams",
        "straight, tokens/s",
        "through, tokens/s",
        "ratio",
        "CPU of ours, µs a token",
    )
    report.table("Tokens per second", columns, rows, key="rates")


async def memory(report: Report, folder: Path, streams: int) -> None:
    """What an open, silent stream weighs in the application's process."""
    async with both(folder, tokens=1, gap_ms=0, barrier=streams + 1) as (_, through, running):
        await asyncio.sleep(2)
        before = running.memory_info().rss
        waiting = [asyncio.ensure_future(one(through, number)) for number in range(streams)]
        await asyncio.sleep(10 + streams / 50)
        open_now = sum(not task.done() for task in waiting)
        weight = (running.memory_info().rss - before) / streams
        waiting.append(asyncio.ensure_future(one(through, streams)))
        whole = sum(stream.tokens == 1 for stream in await asyncio.gather(*waiting))
    rows = [(streams, open_now, whole, weight / 1024)]
    columns = ("idle streams", "open after the wait", "ended whole", "KiB each")
    report.table("Memory of an open stream", columns, rows, key="memory")
    report.bar("KiB of memory an open stream", weight / 1024, at_most=200.0)
    report.bar("idle streams that ended whole", whole, at_least=streams + 1)


async def bench(args: argparse.Namespace) -> int:
    """All of it."""
    report = Report("bench_overhead")
    with tempfile.TemporaryDirectory(prefix="overhead-") as scratch:
        folder = Path(scratch) / "data"
        document = Path(scratch) / "hours.md"
        document.write_text(DOCUMENT)
        async with process("backend", "ingest", str(document), LIBRI_DATA__DIR=str(folder)) as child:
            await child.wait()
        await first_tokens(report, folder, 50 if args.quick else 300)
        await rates(report, folder, (1, 200) if args.quick else (1, 50, 200), 1 if args.quick else 3)
        await memory(report, folder, 200 if args.quick else 1000)
    return report.finish(args)


def main(argv: Sequence[str] | None = None) -> int:
    """Run; the exit status is 1 when `--check` finds a bar missed."""
    args = arguments("What the path of a token costs.", argv)
    return asyncio.run(bench(args))


if __name__ == "__main__":
    sys.exit(main())
