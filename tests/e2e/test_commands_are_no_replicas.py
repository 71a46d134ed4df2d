"""A command that opens the assistant for a moment is none of the processes that share the model servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from redis import Redis

from tests.support.console import environment_in
from tests.support.emulator import Emulator, emulator
from tests.support.forks import Forks
from tests.support.live_app import HOURS, LiveApp, live_app, settings_in
from tests.support.redis_server import RedisServer

MODEL = "llama3.1:8b"
QUESTION = "How often can a loan be renewed?"


@pytest.fixture
async def ollama() -> AsyncIterator[Emulator]:
    async with emulator(time_scale=0, num_parallel=2, reply="Three weeks [1].") as running:
        yield running


@pytest.fixture
def environment(redis: RedisServer, ollama: Emulator, tmp_path: Path, models_dir: Path) -> dict[str, str]:
    return environment_in(
        tmp_path / "commands", models_dir,
        REDIS_URL=redis.url, OLLAMA_URLS=ollama.url, OLLAMA_MODEL=MODEL, OLLAMA_NUM_PARALLEL="2",
        LLM_BACKEND="ollama",
    )  # fmt: skip


async def all_commands(forks: Forks, environment: dict[str, str]) -> None:
    paper = Path(environment["LIBRI_DATA__DIR"]).parent / HOURS[0]
    paper.write_bytes(HOURS[1])
    for command in (["ingest", str(paper)], ["reindex"], ["doctor"], ["ask", QUESTION]):
        done = await asyncio.to_thread(forks.run, environment, *command)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "Three weeks" in done.stdout, "the last one asked the model"


async def test_they_leave_nothing_in_redis(
    environment: dict[str, str], redis: RedisServer, forks: Forks
) -> None:
    with Redis.from_url(redis.url) as client:
        before = client.info("stats")["total_connections_received"]
        await all_commands(forks, environment)
        assert client.keys() == []
        assert client.info("stats")["total_connections_received"] == before


async def test_a_running_server_keeps_its_share(
    environment: dict[str, str],
    forks: Forks,
    redis: RedisServer,
    ollama: Emulator,
    tmp_path: Path,
    models_dir: Path,
) -> None:
    settings = settings_in(
        tmp_path / "server", models_dir,
        engine={"backend": "ollama", "ollama_urls": [ollama.url], "model": MODEL, "slots": 2},
        redis={"url": redis.url},
    )  # fmt: skip
    async with live_app(settings, instances=None) as app:
        seen: set[int] = set()
        watching = asyncio.ensure_future(watch(app, seen))
        try:
            await all_commands(forks, environment)
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
        assert seen == {1}


async def watch(app: LiveApp, seen: set[int]) -> None:
    """How many processes share the pool, all the time."""
    while True:
        seen.add((await app.services.pool.status()).processes)
        await asyncio.sleep(0.02)
