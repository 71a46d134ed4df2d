"""A runner that stands still: what one replica finds out helps the readers of another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.support.emulator import Emulator, emulator
from tests.support.live_app import HOURS, Event, LiveApp, live_app, settings_in, text_of
from tests.support.redis_server import RedisServer

ANSWER = " ".join(f"In the year {year} the library opened at nine [1]." for year in range(1900, 1960))
SOON_S = 40.0
"""Far less than the 120 s that a first token may take, and enough for a busy machine."""


@pytest.fixture
async def servers() -> AsyncIterator[list[Emulator]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(emulator(time_scale=0.5, num_parallel=4, reply=ANSWER))
            for _ in "ab"
        ]


@pytest.fixture
async def replicas(
    redis: RedisServer, servers: list[Emulator], tmp_path: Path, models_dir: Path
) -> AsyncIterator[list[LiveApp]]:
    async with AsyncExitStack() as stack:
        apps = []
        for name in "ab":
            engine = {
                "backend": "ollama", "ollama_urls": [one.url for one in servers],
                "model": "llama3.1:8b", "slots": 4, "least_gap_s": 2.0,
            }  # fmt: skip
            settings = settings_in(
                tmp_path / name, models_dir, engine=engine, chat={"max_tokens": 2000},
                redis={"url": redis.url, "hold_s": 0.5},
            )  # fmt: skip
            app = await stack.enter_async_context(live_app(settings, instances=None))
            await app.put(HOURS)
            apps.append(app)
        yield apps


async def test_a_reader_without_a_token_is_moved_as_soon_as_another_replica_finds_the_stall(
    replicas: list[LiveApp], servers: list[Emulator]
) -> None:
    here, there = replicas
    await here.services.operator.drain("ollama-2")
    first = asyncio.ensure_future(here.ask("When does the library open in the morning?"))
    await servers[0].until(lambda state: state["totals"]["tokens"] > 150)
    await servers[0].fault("stuck_runner")
    second = asyncio.ensure_future(there.ask("When does the library open, says the other reader?"))
    await servers[0].until(lambda state: state["totals"]["open"] == 2)
    await here.services.operator.resume("ollama-2")
    async with asyncio.timeout(SOON_S):
        told: list[list[Event]] = await asyncio.gather(first, second)
    for happened in told:
        assert text_of(happened[_restart(happened) :]) == ANSWER
        assert not happened[-1].data.get("degraded")
    health = {one.id: one.health for one in (await there.services.pool.status()).instances}
    assert health["ollama-1"] != "closed"


def _restart(happened: list[Event]) -> int:
    return max((n for n, event in enumerate(happened) if event.name == "replace"), default=0)
