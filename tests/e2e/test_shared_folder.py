"""Two processes of one host, as an operator runs them: one folder, one Redis, one PostgreSQL, one Chroma."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from devstack.replica import Replica, replica
from tests.support.chroma_server import chroma_server
from tests.support.live_app import HOURS
from tests.support.postgres import postgres_server
from tests.support.redis_server import redis_server

QUESTION = {"question": "When does the library open in the morning?"}
LATER = (
    "hours.md",
    b"# Opening hours\n\nThe library opens at ten in the morning from Tuesday to Saturday.\n",
)


@contextmanager
def stores(folder: Path) -> Iterator[dict[str, str]]:
    with redis_server() as redis, postgres_server() as database, chroma_server() as chroma:
        yield {
            "REDIS_URL": redis.url,
            "DATABASE_URL": database,
            "CHROMA_URL": chroma.url,
            "LLM_BACKEND": "extractive",
            "OLLAMA_URLS": "",
            "LIBRI_DATA__DIR": str(folder),
        }


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Replica, Replica]]:
    with stores(tmp_path / "data") as settings, ExitStack() as stack:
        one, two = [
            stack.enter_context(replica(settings, name=name, folder=tmp_path)) for name in ("one", "two")
        ]
        yield one, two


async def asked(client: httpx.AsyncClient) -> tuple[str, list[str]]:
    answer = (await client.post("/api/v1/chat", json=QUESTION)).json()
    return str(answer["answer"]), [name for name in answer["degraded"] if name != "model"]


async def until_it_says(client: httpx.AsyncClient, words: str, within_s: float) -> None:
    async with asyncio.timeout(within_s):
        while (said := await asked(client))[1] or words not in said[0]:
            await asyncio.sleep(0.1)


async def put(client: httpx.AsyncClient, file: tuple[str, bytes]) -> None:
    sent: Any = (await client.post("/api/v1/documents", files=[("file", file)])).json()
    async with asyncio.timeout(120):
        while (await client.get(f"/api/v1/ingestions/{sent['id']}")).json()["state"] != "done":
            await asyncio.sleep(0.05)


async def test_the_death_of_one_process_leaves_the_others_folder_indexes_and_uploads_working(
    pair: tuple[Replica, Replica],
) -> None:
    one, two = pair
    async with (
        httpx.AsyncClient(base_url=one.url, timeout=60) as first,
        httpx.AsyncClient(base_url=two.url, timeout=60) as second,
    ):
        await put(first, HOURS)
        await until_it_says(second, "nine in the morning", 10)
        ready = (await second.get("/health/ready")).json()
        assert "retrieval" not in ready["broken"], json.dumps(ready)
        one.child.kill()
        await put(second, LATER)
        await until_it_says(second, "ten in the morning", 10)
