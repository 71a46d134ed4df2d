"""Two replicas as processes, one Redis, one PostgreSQL: whoever dies, the answer goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from devstack.child import in_thread
from devstack.replica import Replica, replica
from tests.support.emulator import Emulator, emulator
from tests.support.live_app import HOURS, Event, events, text_of
from tests.support.postgres import postgres_server
from tests.support.redis_server import RedisServer, redis_server

ANSWER = "The library opens at nine [1] and closes at six in the evening, from Tuesday to Saturday [1]. " * 4
ASKED = {"question": "When does the library open in the morning?"}


@pytest.fixture(scope="module")
def stores() -> Iterator[tuple[RedisServer, str]]:
    with redis_server() as redis, postgres_server() as database:
        yield redis, database


@pytest.fixture
async def model() -> AsyncIterator[Emulator]:
    async with emulator(process=True, num_parallel=4, reply=ANSWER) as running:
        yield running


@pytest.fixture
async def replicas(
    stores: tuple[RedisServer, str], model: Emulator, tmp_path: Path, models_dir: Path
) -> AsyncIterator[list[Replica]]:
    redis, database = stores
    given = {
        "REDIS_URL": redis.url, "DATABASE_URL": database, "OLLAMA_URLS": model.url, "LLM_BACKEND": "ollama",
        "OLLAMA_MODEL": "llama3.1:8b", "OLLAMA_NUM_PARALLEL": "4", "LIBRI_DATA__MODELS_DIR": str(models_dir),
        "LIBRI_INGEST__POLL_S": "0.2", "LIBRI_REDIS__ACK_S": "1",
    }  # fmt: skip
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(in_thread(replica(given, name=name))) for name in "ab"]


async def stream(at: Replica, seen: list[Event], first: asyncio.Event) -> None:
    async with (
        httpx.AsyncClient(base_url=at.url, timeout=60) as client,
        client.stream("POST", "/api/v1/chat/stream", json=ASKED) as response,
    ):
        async for event in events(response):
            seen.append(event)
            if event.name == "delta":
                first.set()


async def uploaded(at: list[Replica]) -> None:
    name, content = HOURS
    async with httpx.AsyncClient(timeout=60) as client:
        sent = await client.post(f"{at[0].url}/api/v1/documents", files={"file": (name, content)})
        assert sent.status_code in (200, 202), sent.text
        async with asyncio.timeout(60):
            for one in at:
                while "hours" not in (await client.get(f"{one.url}/api/v1/documents")).text:
                    await asyncio.sleep(0.1)
    await asyncio.sleep(2)


async def test_who_joined_elsewhere_sees_the_whole_answer_of_a_process_that_is_killed(
    replicas: list[Replica],
) -> None:
    await uploaded(replicas)
    here, there = replicas
    begun, joined = asyncio.Event(), asyncio.Event()
    mine: list[Event] = []
    other: list[Event] = []
    first = asyncio.ensure_future(stream(here, mine, begun))
    await asyncio.wait_for(begun.wait(), 60)
    second = asyncio.ensure_future(stream(there, other, joined))
    await asyncio.wait_for(joined.wait(), 60)
    here.child.kill()
    await asyncio.wait_for(second, 60)
    with pytest.raises(httpx.HTTPError):
        await first
    assert other[0].data["cache"] == "joined"
    assert text_of(other).strip() == ANSWER.strip()
    assert [event.name for event in other if event.name in ("done", "error")] == ["done"]
