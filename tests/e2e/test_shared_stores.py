"""Replicas with a folder each, on one PostgreSQL and one Chroma server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from pydantic import SecretStr

from backend.config import Settings
from backend.engines.base import Text
from backend.engines.scripted import Hold, ScriptedEngine, recite
from devstack.chroma import ChromaServer
from tests.support.chroma_server import chroma_server
from tests.support.live_app import DEFAULT, HOURS, LiveApp, live_app, scripted, settings_in, text_of
from tests.support.postgres import PostgresServer, running_postgres

QUESTION = "When does the library open in the morning?"
SOON_S = 20.0
"""On any machine; `loadtests.bench_stores lag --check` holds it to two seconds."""
LATER = (
    "hours.md",
    b"# Opening hours\n\nThe library opens at ten in the morning from Tuesday to Saturday.\n",
)


@pytest.fixture(scope="module")
def database() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def chroma() -> Iterator[ChromaServer]:
    with chroma_server() as server:
        yield server


def settings(
    tmp_path: Path, models_dir: Path, name: str, database: PostgresServer, chroma: ChromaServer
) -> Settings:
    made = settings_in(tmp_path / name, models_dir, retrieval={"index_timeout_s": 1.5, "catch_up_s": 0.3})
    data = made.data.model_copy(
        update={"database_url": SecretStr(database.url), "chroma_url": SecretStr(chroma.url)}
    )
    return made.model_copy(update={"data": data})


@pytest.fixture
async def replicas(
    tmp_path: Path, models_dir: Path, database: PostgresServer, chroma: ChromaServer
) -> AsyncIterator[tuple[LiveApp, LiveApp]]:
    async with AsyncExitStack() as stack:
        made = [settings(tmp_path, models_dir, name, database, chroma) for name in ("a", "b")]
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


async def until(seen: Callable[[], Awaitable[bool]], within_s: float) -> None:
    async with asyncio.timeout(within_s):
        while not await seen():
            await asyncio.sleep(0.05)


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

    sent = await one.client.post("/api/v1/documents", files=[("file", HOURS)])
    progress = f"/api/v1/ingestions/{sent.json()['id']}"

    async def done() -> bool:
        return bool((await two.client.get(progress)).json()["state"] == "done")

    await until(done, 60)
    await both_say("at nine in the morning")
    await two.put(LATER)
    await both_say("at ten in the morning", not_words="nine")
    (document,) = await two.services.catalogue.documents(DEFAULT)
    await two.services.ingestion.delete(DEFAULT, document.id)
    for app in (one, two):

        async def gone(app: LiveApp = app) -> bool:
            return "ten" not in (await asked(app))[0]

        await until(gone, SOON_S)


async def test_a_chroma_that_hangs_dies_or_forgets_costs_its_side_only_and_it_comes_back(
    tmp_path: Path, models_dir: Path, database: PostgresServer, chroma: ChromaServer
) -> None:
    async with live_app(settings(tmp_path, models_dir, "a", database, chroma)) as app:
        await app.put(HOURS)

        async def degraded() -> tuple[str, ...]:
            text, degraded = await asked(app)
            assert "at nine in the morning" in text
            return degraded

        async def whole() -> bool:
            return not await degraded()

        await until(whole, SOON_S)
        chroma.hang()
        try:
            assert await degraded() == ("dense",)
        finally:
            chroma.go_on()
        await until(whole, 30)
        chroma.kill()
        assert await degraded() == ("dense",)
        assert (await app.client.get("/health/ready")).status_code == 200
        await asyncio.to_thread(chroma.restart)
        await until(whole, 30)
        await asyncio.to_thread(lambda: chroma.restart(empty=True))
        assert await degraded() == ("dense",), "nothing of it is believed before it is whole"
        await until(whole, 30)


async def test_a_postgresql_that_is_restarted_in_an_answer_costs_neither_answer_nor_turn(
    tmp_path: Path, models_dir: Path, database: PostgresServer, chroma: ChromaServer
) -> None:
    go_on = asyncio.Event()
    answers = ScriptedEngine((Text("It opens at"), Hold(go_on), *recite(" nine [1].")))
    made = settings(tmp_path, models_dir, "a", database, chroma)
    async with live_app(made, scripted(answers)) as app:
        await app.put(HOURS)
        asking = asyncio.ensure_future(app.ask(QUESTION))
        await asyncio.sleep(0.5)
        await asyncio.to_thread(database.stop)
        go_on.set()
        happened = await asking
        assert text_of(happened) == "It opens at nine [1]."
        assert happened[-1].name == "done"
        await asyncio.to_thread(database.start)
        path = f"/api/v1/conversations/{happened[0].data['conversation_id']}"

        async def kept() -> bool:
            found = await app.client.get(path)
            turns = found.json()["turns"] if found.status_code == 200 else []
            return [turn["answer"] for turn in turns] == ["It opens at nine [1]."]

        await until(kept, 30)
        assert (await app.client.get("/health/ready")).status_code == 200
