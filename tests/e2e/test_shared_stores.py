"""Replicas with a folder each, on one PostgreSQL and one Chroma server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from backend.config import Settings
from devstack.chroma import ChromaServer
from tests.support.chroma_server import chroma_server
from tests.support.live_app import DEFAULT, GARDEN, HOURS, LiveApp, live_app, settings_in
from tests.support.postgres import postgres_server

QUESTION = "When does the library open in the morning?"
SOON_S = 2.0
LATER = (
    "hours.md",
    b"# Opening hours\n\nThe library opens at ten in the morning from Tuesday to Saturday.\n",
)


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgres_server() as url:
        yield url


@pytest.fixture(scope="module")
def chroma() -> Iterator[ChromaServer]:
    with chroma_server() as server:
        yield server


def settings(tmp_path: Path, models_dir: Path, name: str, database: str, chroma: str) -> Settings:
    made = settings_in(tmp_path / name, models_dir, retrieval={"index_timeout_s": 0.8, "catch_up_s": 0.3})
    data = made.data.model_copy(update={"database_url": SecretStr(database), "chroma_url": SecretStr(chroma)})
    return made.model_copy(update={"data": data})


@pytest.fixture
async def replicas(
    tmp_path: Path, models_dir: Path, database: str, chroma: ChromaServer
) -> AsyncIterator[tuple[LiveApp, LiveApp]]:
    async with AsyncExitStack() as stack:
        made = [settings(tmp_path, models_dir, name, database, chroma.url) for name in ("a", "b")]
        one, two = [await stack.enter_async_context(live_app(each)) for each in made]
        yield one, two
        for document in await one.services.catalogue.documents(DEFAULT):
            await one.services.ingestion.delete(DEFAULT, document.id)


async def asked(app: LiveApp, question: str = QUESTION) -> tuple[str, tuple[str, ...]]:
    """The text of all passages that are shown, and what did not answer."""
    happened = await app.ask(question)
    (sources,) = [event.data for event in happened if event.name == "sources"]
    texts = [happened[n].data["text"] for n, event in enumerate(happened) if event.name == "delta"]
    return "".join(texts), tuple(sources["degraded"])


async def until(seen: Callable[[], Awaitable[bool]], within_s: float) -> float:
    """How long it took until it was seen."""
    began = time.monotonic()
    async with asyncio.timeout(within_s):
        while not await seen():
            await asyncio.sleep(0.05)
    return time.monotonic() - began


async def test_what_changes_through_one_replica_is_soon_so_through_the_other(
    replicas: tuple[LiveApp, LiveApp],
) -> None:
    one, two = replicas

    async def both_say(words: str, *, not_words: str = "\0") -> None:
        for app in (one, two):

            async def seen(app: LiveApp = app) -> bool:
                text, degraded = await asked(app)
                assert not ("nine" in text and "ten" in text), "two versions at once"
                return words in text and not_words not in text and not degraded

            await until(seen, SOON_S)

    await one.put(HOURS)
    await both_say("at nine in the morning")
    await two.put(LATER)
    await both_say("at ten in the morning", not_words="nine")
    (document,) = await two.services.catalogue.documents(DEFAULT)
    await two.services.ingestion.delete(DEFAULT, document.id)
    for app in (one, two):

        async def gone(app: LiveApp = app) -> bool:
            return "ten" not in (await asked(app))[0]

        await until(gone, SOON_S)


async def test_an_upload_is_watched_through_any_replica(replicas: tuple[LiveApp, LiveApp]) -> None:
    one, two = replicas
    sent = await one.client.post("/api/v1/documents", files=[("file", HOURS), ("file", GARDEN)])
    assert sent.status_code == 202, sent.text
    path = f"/api/v1/ingestions/{sent.json()['id']}"

    async def done() -> bool:
        return bool((await two.client.get(path)).json()["state"] == "done")

    await until(done, 60)
    assert (await two.client.get(path)).json() == (await one.client.get(path)).json()


async def test_a_chroma_that_hangs_dies_or_forgets_costs_its_side_only_and_it_comes_back(
    replicas: tuple[LiveApp, LiveApp], chroma: ChromaServer
) -> None:
    one, two = replicas
    await one.put(HOURS)

    async def lexical_only() -> bool:
        text, degraded = await asked(two)
        assert "at nine in the morning" in text
        return degraded == ("dense",)

    async def whole() -> bool:
        text, degraded = await asked(two)
        assert "at nine in the morning" in text
        return not degraded

    await until(whole, 10)
    chroma.hang()
    try:
        assert await lexical_only()
    finally:
        chroma.go_on()
    await until(whole, 30)
    chroma.kill()
    began = time.monotonic()
    assert await lexical_only()
    assert time.monotonic() - began < 2
    ready = await two.client.get("/health/ready")
    assert ready.status_code == 200
    await asyncio.to_thread(chroma.restart)
    await until(whole, 30)
    await asyncio.to_thread(lambda: chroma.restart(empty=True))
    assert await lexical_only(), "nothing of it is believed before it is whole"
    await until(whole, 30)


async def test_a_chroma_of_another_embedder_is_left_as_it_is(
    replicas: tuple[LiveApp, LiveApp], chroma: ChromaServer
) -> None:
    one, _ = replicas
    await one.put(HOURS)
    path = f"{chroma.url}/api/v2/tenants/default_tenant/databases/default_database/collections"
    async with httpx.AsyncClient() as client:
        made = await client.post(path, json={"name": "of-somebody-else", "get_or_create": True})
        body = {"ids": ["x"], "embeddings": [[1.0, 2.0]], "documents": ["x"], "metadatas": [{"a": 1}]}
        await client.post(f"{path}/{made.json()['id']}/upsert", json=body)
        assert "at nine in the morning" in (await asked(one))[0]
        assert (await client.get(f"{path}/{made.json()['id']}/count")).json() == 1
