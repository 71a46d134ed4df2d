"""Two replicas, one Redis, two model servers: one pool."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.support.emulator import Emulator, emulator
from tests.support.live_app import HOURS, Event, LiveApp, live_app, settings_in, text_of
from tests.support.redis_server import RedisServer

ANSWER = "The library opens at nine [1] and closes at six in the evening [1]. " * 3
SLOTS = 2


@pytest.fixture
async def servers() -> AsyncIterator[list[Emulator]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                emulator(process=True, time_scale=0.2, num_parallel=SLOTS, reply=ANSWER)
            )
            for _ in "ab"
        ]


@pytest.fixture
async def replicas(
    redis: RedisServer, servers: list[Emulator], tmp_path: Path, models_dir: Path
) -> AsyncIterator[list[LiveApp]]:
    async with AsyncExitStack() as stack:
        apps = []
        for name in "ab":
            settings = settings_in(
                tmp_path / name, models_dir,
                engine={
                    "backend": "ollama", "ollama_urls": [one.url for one in servers],
                    "model": "llama3.1:8b", "slots": SLOTS,
                },
                redis={"url": redis.url, "hold_s": 0.5, "timeout_s": 1.0},
            )  # fmt: skip
            app = await stack.enter_async_context(live_app(settings, instances=None))
            await app.put(HOURS)
            apps.append(app)
        yield apps


def ended_well(happened: list[Event]) -> bool:
    return happened[-1].name == "done" and text_of(happened).strip() == ANSWER.strip()


async def ask(app: LiveApp, n: int) -> list[Event]:
    return await app.ask(f"When does the library open in the morning, question {n}?")


async def test_together_they_never_take_more_slots_than_there_are_and_nobody_is_lost(
    replicas: list[LiveApp], servers: list[Emulator]
) -> None:
    answers = await asyncio.gather(*(ask(app, n) for n in range(8) for app in replicas))
    assert all(map(ended_well, answers))
    assert any(event.name == "queue" for happened in answers for event in happened), "some had to wait"
    for server in servers:
        peaks = (await server.state())["totals"]["peaks"]
        assert all(peak["in_flight"] <= SLOTS for peak in peaks.values())
    states = [await app.services.pool.status() for app in replicas]
    assert [state.processes for state in states] == [2, 2]
    assert all(one.in_flight == 0 for state in states for one in state.instances)


async def test_what_one_replica_learns_of_a_server_the_other_knows(
    replicas: list[LiveApp], servers: list[Emulator]
) -> None:
    here, there = replicas
    await asyncio.gather(*(ask(app, 100 + n) for n in range(8) for app in replicas))
    async with asyncio.timeout(60):
        while not all(one.ready for one in (await there.services.pool.status()).instances):
            await asyncio.gather(*(ask(app, 200 + n) for n in range(8) for app in replicas))
    await servers[0].fault("status", code=500, body="{}")
    n = 0
    async with asyncio.timeout(60):
        while all(one.health == "closed" for one in (await here.services.pool.status()).instances):
            assert ended_well(await ask(here, n := n + 1)), "the other server answers"
        while all(one.health == "closed" for one in (await there.services.pool.status()).instances):
            await asyncio.sleep(0.05)
    assert ended_well(await ask(there, 0))


async def test_answers_go_on_while_redis_is_away_and_come_together_again(
    replicas: list[LiveApp], servers: list[Emulator], redis: RedisServer
) -> None:
    redis.kill()
    answers = await asyncio.gather(*(ask(app, n) for n in range(3) for app in replicas))
    assert all(map(ended_well, answers))
    redis.start()
    async with asyncio.timeout(60):
        while not all([(await app.services.pool.status()).shared for app in replicas]):
            await asyncio.sleep(0.05)
        while (await replicas[0].services.pool.status()).processes != 2:
            await asyncio.sleep(0.05)
    answers = await asyncio.gather(*(ask(app, 10 + n) for n in range(3) for app in replicas))
    assert all(map(ended_well, answers))
