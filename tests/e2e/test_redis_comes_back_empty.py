"""Redis loses everything while the model server is well: no answer is quoted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from backend.core.instances import InstanceSpec
from tests.support.emulator import Emulator, emulator
from tests.support.live_app import HOURS, Event, LiveApp, live_app, settings_in, text_of
from tests.support.redis_server import RedisServer

ANSWER = "The library opens at nine [1]."
EVERY_S = 0.4


@pytest.fixture
async def servers() -> AsyncIterator[list[Emulator]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(emulator(time_scale=0.01, num_parallel=2, reply=ANSWER))
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
                engine={"backend": "ollama", "ollama_urls": [servers[0].url], "slots": 2},
                redis={"url": redis.url},
            )  # fmt: skip
            app = await stack.enter_async_context(live_app(settings, instances=None))
            await app.put(HOURS)
            apps.append(app)
        yield apps


def restarted(redis: RedisServer) -> None:
    redis.kill()
    redis.start()


def away_for_long(redis: RedisServer) -> None:
    redis.kill()


LOSSES: dict[str, Callable[[RedisServer], None]] = {
    "restarted": restarted, "flushed": RedisServer.forget, "away": away_for_long,
}  # fmt: skip


@pytest.mark.parametrize("how", LOSSES)
async def test_no_answer_is_quoted_and_what_operators_added_stays(
    replicas: list[LiveApp], servers: list[Emulator], redis: RedisServer, how: str
) -> None:
    here, there = replicas
    await here.services.operator.add(InstanceSpec("added", "ollama", servers[1].url, slots=2))
    answers: list[asyncio.Task[list[Event]]] = []
    for n in range(20):
        if n == 5:
            LOSSES[how](redis)
        if n == 14 and how == "away":
            redis.start()
        for app in replicas:
            question = f"When does the library open in the morning, {app.url} question {n}?"
            answers.append(asyncio.ensure_future(app.ask(question)))
        await asyncio.sleep(EVERY_S)
    told = [await answer for answer in answers]
    assert [text_of(happened) for happened in told] == [ANSWER] * len(told)
    assert not [happened[-1].data for happened in told if happened[-1].data.get("degraded")]
    async with asyncio.timeout(30):
        while not all([(await app.services.pool.status()).shared for app in replicas]):
            await asyncio.sleep(0.1)
    for app in (here, there):
        assert {one.id for one in (await app.services.pool.status()).instances} == {"ollama-1", "added"}
