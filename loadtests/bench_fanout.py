"""What one more reader of an answer costs: one generation, its log, and many who follow it over sockets.

The server is a process with the log, `Runs.follow`, the SSE frames and uvicorn, as the application has them;
another process reads. `old` encodes each batch for each reader, `new` once for all: both in turns. CPU is
that of the serving process while tokens flow, less that of the same without a reader.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import statistics
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, cast

import uvicorn
from starlette.types import Receive, Scope, Send

from backend.api.sse import EventStream, frames
from backend.chat.base import Run
from backend.chat.runs import Runs
from backend.core.clock import SystemClock
from backend.core.events import Delta, Done, Origin
from backend.core.types import Principal, Sampling
from backend.core.variant import Variant
from backend.generations.base import Entry, GenerationId, RequestRecord
from backend.generations.memory import MemoryLog
from backend.history.base import Owner
from loadtests.bench import Report, arguments

Way = Literal["old", "new"]
WAYS: Sequence[Way] = ("old", "new")
OWNER = Owner("local", "ann")
REQUEST = b"GET / HTTP/1.1\r\nhost: bench\r\n\r\n"


@dataclass(slots=True)
class Site:
    """A server of one generation."""

    log: MemoryLog
    runs: Runs
    way: Way = "new"
    generation: GenerationId | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Every request follows it."""
        if scope["type"] == "http":
            assert self.generation is not None
            run = Run(f"r{id(send)}", OWNER, self.generation, "c", joined=True)
            batches = self.runs.follow(run)
            await EventStream(frames(_each_for_itself(batches) if self.way == "old" else batches))(
                scope, receive, send
            )


async def _each_for_itself(
    batches: AsyncGenerator[Sequence[Entry], None],
) -> AsyncGenerator[Sequence[Entry], None]:
    """Batches that nobody else has."""
    async for batch in batches:
        yield list(batch)


def _site() -> Site:
    log = MemoryLog(SystemClock())
    parts: dict[str, Any] = dict.fromkeys((field.name for field in fields(Runs)), None)
    return Site(log, Runs(**{**parts, "generations": log}))


async def _produced(site: Site, readers: int, way: Way, tokens: int, every_s: float, port: int) -> float:
    """CPU seconds of this process while an answer is written and read."""
    began = time.time()
    record = RequestRecord(
        "r", Principal("local", "ann", frozenset(), frozenset()), (), "?", "?", "en", (),
        Variant("m", "", "1", Sampling(0.0, 9, False), "", None), began, began + 600,
    )  # fmt: skip
    writer = (await site.log.begin(None, "r", record)).writer
    assert writer is not None
    site.way, site.generation = way, writer.generation
    await writer.append([Origin("miss", "m", "v")])
    reading = multiprocessing.get_context("spawn").Process(target=_read, args=(port, readers), daemon=True)
    reading.start()
    while site.log._log(site.generation).followers < readers:
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.2)
    used = time.process_time()
    due = time.monotonic()
    for n in range(tokens):
        await writer.append([Delta(f"word{n} ")])
        due += every_s
        await asyncio.sleep(max(0.0, due - time.monotonic()))
    used = time.process_time() - used
    await writer.append([Done("stop")])
    while reading.is_alive():
        await asyncio.sleep(0.05)
    if reading.exitcode:
        raise SystemExit("a reader did not get the whole answer")
    return used


def _read(port: int, readers: int) -> None:
    asyncio.run(_read_all(port, readers))


async def _read_all(port: int, readers: int) -> None:
    async def one() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        said = b""
        while b"event: done" not in said:
            more = await reader.read(65536)
            if not more:
                raise SystemExit("cut off")
            said += more
        writer.close()
        return said.count(b"event: delta")

    await asyncio.gather(*(one() for _ in range(readers)))


async def _measured(options: argparse.Namespace) -> dict[int, dict[Way, float]]:
    """CPU µs per reader and token."""
    site = _site()
    server = uvicorn.Server(uvicorn.Config(cast(Any, site), port=0, log_level="error", lifespan="off"))
    serving = asyncio.ensure_future(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    found: dict[int, dict[Way, list[float]]] = {n: {way: [] for way in WAYS} for n in options.readers}
    for _ in range(options.rounds):
        nobody = await _produced(site, 0, "new", options.tokens, options.every_s, port)
        for readers in options.readers:
            for way in WAYS:
                used = await _produced(site, readers, way, options.tokens, options.every_s, port)
                found[readers][way].append((used - nobody) / readers / options.tokens * 1e6)
    server.should_exit = True
    with contextlib.suppress(asyncio.CancelledError):
        await serving
    return {n: {way: statistics.median(seen) for way, seen in ways.items()} for n, ways in found.items()}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and hold the bar: once for all is not dearer than for each."""

    def more(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--readers", type=int, nargs="*", default=[1, 50, 200])
        parser.add_argument("--tokens", type=int, default=150)
        parser.add_argument("--every-s", type=float, default=0.05)
        parser.add_argument("--rounds", type=int, default=3)

    args = arguments(__doc__ or "", argv, more=more)
    found = asyncio.run(_measured(args))
    report = Report("bench_fanout")
    rows = [(readers, round(ways["old"], 1), round(ways["new"], 1)) for readers, ways in found.items()]
    report.table("CPU per reader and token, µs", ("readers", "old", "new"), rows, key="fanout")
    readers = max(found)
    report.bar(f"{readers} readers, new / old", found[readers]["new"] / found[readers]["old"], at_most=1.0)
    return report.finish(args)


if __name__ == "__main__":
    raise SystemExit(main())
