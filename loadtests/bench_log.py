"""What sharing every generation through Redis costs: one process writes, another follows.

A token carries the time at which the writer had it, so its way is measured from the append to a follower of
the other process. Both use the log as the application does, with its loops; nothing else runs in them.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from backend.core.clock import SystemClock
from backend.core.errors import LogUnavailable
from backend.core.events import Delta, Done, Origin, Source, Sources
from backend.core.types import Principal, Sampling
from backend.core.variant import Variant
from backend.generations.base import GenerationId, RequestRecord, Writer
from backend.generations.redis import Limits, RedisLog
from backend.infra.redis import open_redis
from devstack.redis import redis_server
from loadtests.bench import Report, arguments, percentile

FOLLOWED_P99_MS = 40.0
TOKENS = 300
"""Of one answer."""
_SIX = Sources(
    tuple(
        Source(n, f"d{n}" * 8, f"Title {n}", n, 0.5, f"r{n}" * 8, f"p{n}" * 8, f"a/{n}.md", "A > B", 9, 99)
        for n in range(6)
    )
)


@dataclass(frozen=True, slots=True)
class Load:
    """How many generations are live, how fast each is said, and for how long."""

    live: int
    per_s: float
    seconds: float


def record() -> RequestRecord:
    """Of a question whose passages take 6 KB."""
    variant = Variant("m", "sha256:1", "1", Sampling(0.0, 512, False), "e5", 4096)
    principal = Principal("t", "s", frozenset(), frozenset())
    now = SystemClock().now()
    return RequestRecord("r", principal, (), "?" * 6000, "?", "en", (), variant, now, now + 600)


@asynccontextmanager
async def a_log(url: str) -> AsyncIterator[RedisLog]:
    """The log with its loops."""
    async with open_redis(url, timeout_s=1.0) as client:
        log = RedisLog(client, SystemClock(), Limits(ack_s=1.0))

        async def look() -> None:
            while True:
                await asyncio.sleep(0.25)
                try:
                    await log.lapsed()
                except LogUnavailable:
                    continue

        loops = [asyncio.ensure_future(work) for work in (look(), log.run(), log.listen())]
        try:
            yield log
        finally:
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
            await log.close()


async def renew(writers: list[Writer]) -> None:
    """As the producer does."""
    while True:
        await asyncio.sleep(0.25)
        await asyncio.gather(*(writer.renew() for writer in writers))


async def begun(log: RedisLog, number: int) -> list[Writer]:
    """So many generations."""
    joined = [await log.begin(None, "r", record()) for _ in range(number)]
    writers = [one.writer for one in joined if one.writer is not None]
    await asyncio.gather(*(writer.append([Origin("miss", "m", "v"), _SIX]) for writer in writers))
    return writers


async def say(writer: Writer, load: Load, offset: float) -> None:
    """Tokens at their pace, each with its time."""
    await asyncio.sleep(offset)
    loop, began = asyncio.get_running_loop(), asyncio.get_running_loop().time()
    for n in range(int(load.per_s * load.seconds)):
        await asyncio.sleep(max(0.0, began + n / load.per_s - loop.time()))
        await writer.append([Delta(f"{time.monotonic():.6f} ")])
    await writer.append([Done("stop")])


async def _write(url: str, load: Load, pipe: Any) -> None:
    async with a_log(url) as log:
        writers = await begun(log, load.live)
        pipe.send([writer.generation for writer in writers])
        renewing = asyncio.ensure_future(renew(writers))
        await asyncio.to_thread(pipe.recv)
        cpu = time.process_time()
        await asyncio.gather(
            *(say(writer, load, n / load.live / load.per_s) for n, writer in enumerate(writers))
        )
        pipe.send(time.process_time() - cpu)
        renewing.cancel()


async def _follow(url: str, load: Load, pipe: Any) -> tuple[list[float], float]:
    ways: list[float] = []

    async def one(log: RedisLog, generation: GenerationId) -> None:
        async for batch in log.follow(generation):
            now = time.monotonic()
            for entry in batch:
                if isinstance(entry.event, Delta):
                    ways.extend(now - float(stamp) for stamp in entry.event.text.split())

    async with a_log(url) as log:
        generations = await asyncio.to_thread(pipe.recv)
        following = [asyncio.ensure_future(one(log, generation)) for generation in generations]
        await asyncio.sleep(1.0)
        cpu = time.process_time()
        pipe.send("go")
        await asyncio.gather(*following)
        return ways, time.process_time() - cpu


def _writer(url: str, load: Load, pipe: Any) -> None:
    asyncio.run(_write(url, load, pipe))


def follow_elsewhere(report: Report, url: str, load: Load) -> None:
    """From a writer's append to a follower of another process."""
    here, there = multiprocessing.get_context("spawn").Pipe()
    child = multiprocessing.get_context("spawn").Process(target=_writer, args=(url, load, there), daemon=True)
    child.start()
    ways, follower_s = asyncio.run(_follow(url, load, here))
    writer_s = here.recv()
    child.join(10)
    ms = [1000 * way for way in ways]
    tokens = len(ways)
    row = (
        load.live, tokens, percentile(ms, 50), percentile(ms, 99), max(ms),
        1e6 * writer_s / tokens, 1e6 * follower_s / tokens,
    )  # fmt: skip
    columns = ("live", "tokens", "p50 ms", "p99 ms", "most ms", "writer µs/token", "follower µs/token")
    report.table("From append to a follower in another process", columns, [row], key="followed")
    report.bar("append to follower elsewhere, p99 ms", row[3], at_most=FOLLOWED_P99_MS)


async def _fast(url: str, writers: int, seconds: float) -> tuple[float, float]:
    async with a_log(url) as log:
        made = await begun(log, writers)
        until, count = time.monotonic() + seconds, 0

        async def one(writer: Writer) -> None:
            nonlocal count
            while time.monotonic() < until:
                await writer.append([Delta(" word")])
                count += 1

        cpu = time.process_time()
        await asyncio.gather(*map(one, made))
        return count / seconds, 1e6 * (time.process_time() - cpu) / count


async def _weight(url: str) -> tuple[float, float]:
    """Bytes of a live and of an ended answer, all of its keys."""
    async with a_log(url) as log, Redis.from_url(url) as redis:
        await redis.flushall()
        (writer,) = await begun(log, 1)
        for n in range(TOKENS):
            await writer.append([Delta(f" w{n:03}")])
        weights = []
        for _ in "live", "ended":
            keys = await redis.keys("libri:*")
            weights.append(float(sum([await redis.memory_usage(key) or 0 for key in keys])))
            if len(weights) == 1:
                await writer.append([Done("stop")])
        return weights[0], weights[1]


def main(argv: list[str] | None = None) -> int:
    args: argparse.Namespace = arguments("What sharing every generation through Redis costs.", argv)
    report = Report("bench_log")
    load = Load(live=100, per_s=20.0, seconds=4.0 if args.quick else 15.0)
    with redis_server() as server:
        follow_elsewhere(report, server.url, load)
        rows = []
        for writers in (1, 10, 100):
            per_s, us = asyncio.run(_fast(server.url, writers, 1.0 if args.quick else 4.0))
            rows.append((writers, per_s, us))
        columns = ("generations", "tokens/s", "CPU µs/token")
        report.table("One process, as fast as Redis takes it", columns, rows, key="throughput")
        live, ended = asyncio.run(_weight(server.url))
        columns = ("tokens", "live, bytes", "ended, bytes")
        report.table("What an answer takes in Redis", columns, [(TOKENS, live, ended)], key="weight")
    return report.finish(args)


if __name__ == "__main__":
    raise SystemExit(main())
