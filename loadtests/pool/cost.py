"""What a slot costs: acquire and release through Redis, from several processes, beside a long queue.

`python -m loadtests.pool.cost URL SECONDS` is one of those processes: one request in flight, times on stdout.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import uvloop

from backend.core.clock import SystemClock
from backend.infra.redis import open_redis
from backend.pool.slots.base import Capacity, Granted, Ticket
from backend.pool.slots.redis import RedisSlots
from devstack.redis import redis_server
from loadtests.bench import percentile
from loadtests.pool.machines import MODEL

OTHER = "another"
WAITING = 1000
FLOWS = 50
WARM_UP = 20


@dataclass(frozen=True, slots=True)
class Cost:
    """Of pairs of acquire and release, one in flight per process."""

    p50_ms: float
    p99_ms: float
    per_s: float


def measured(*, processes: int, seconds: float) -> Cost:
    """From `processes` at once, with `WAITING` tickets in the queue of another model."""
    with redis_server() as server:
        return asyncio.run(_measured(server.url, processes, seconds))


async def _measured(url: str, processes: int, seconds: float) -> Cost:
    async with _slots(url) as slots:
        await slots.put("busy", Capacity(1, frozenset({OTHER})))
        await slots.put("free", Capacity(64, frozenset({MODEL})))
        for n in range(WAITING + 1):
            await slots.join(_ticket(OTHER, f"flow-{n % FLOWS}"), {})
        beats = asyncio.ensure_future(_live(slots))
        found = await asyncio.gather(*(_process(url, seconds) for _ in range(processes)))
        beats.cancel()
        await asyncio.gather(beats, return_exceptions=True)
    times_ms = [ms for one in found for ms in one]
    return Cost(percentile(times_ms, 50), percentile(times_ms, 99), len(times_ms) / seconds)


async def _process(url: str, seconds: float) -> list[float]:
    command = (sys.executable, "-m", "loadtests.pool.cost", url, str(seconds))
    child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    said, _ = await child.communicate()
    return list(json.loads(said))


async def _pairs(url: str, seconds: float) -> list[float]:
    times_ms: list[float] = []
    async with _slots(url) as slots:
        await slots.beat()
        beats = asyncio.ensure_future(_live(slots))
        until = time.perf_counter() + seconds
        while (began := time.perf_counter()) < until:
            ticket = _ticket(MODEL, "reader")
            assert isinstance(await slots.join(ticket, {}), Granted)
            await slots.leave(ticket.id, held_s=1.0)
            times_ms.append((time.perf_counter() - began) * 1000)
        beats.cancel()
        await asyncio.gather(beats, return_exceptions=True)
    return times_ms[WARM_UP:]


@asynccontextmanager
async def _slots(url: str) -> AsyncIterator[RedisSlots]:
    async with AsyncExitStack() as stack:
        client, listener = [await stack.enter_async_context(open_redis(url, timeout_s=10.0)) for _ in "ab"]
        yield RedisSlots(client, listener, SystemClock(), process=uuid4().hex, queue_limit=10_000)


async def _live(slots: RedisSlots) -> None:
    while True:
        await slots.beat()
        await asyncio.sleep(0.5)


def _ticket(model: str, flow: str) -> Ticket:
    return Ticket(uuid4().hex, model, flow, 600.0)


if __name__ == "__main__":
    print(json.dumps(uvloop.run(_pairs(sys.argv[1], float(sys.argv[2])))))
