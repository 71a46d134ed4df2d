"""Two processes' services, each with a data folder of its own, on one PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.config import Settings
from backend.engines.scripted import Hold, ScriptedEngine, recite
from backend.infra.sql import open_engine
from backend.ingest.tables import ingestion_items, ingestions
from tests.support.live_app import DEFAULT, GARDEN, HOURS, LiveApp, live_app, scripted, settings_in, text_of
from tests.support.postgres import postgres_server

QUESTION = "When does the library open in the morning?"


@pytest.fixture
def url() -> Iterator[str]:
    with postgres_server() as url:
        yield url


@pytest.fixture
async def engine(url: str) -> AsyncIterator[AsyncEngine]:
    engine = open_engine(url)
    yield engine
    await engine.dispose()


def settings(tmp_path: Path, models_dir: Path, url: str, name: str, **sections: object) -> Settings:
    """Of one of the processes; its worker looks often for what the other has done."""
    made = settings_in(tmp_path / name, models_dir, ingest={"poll_s": 0.2}, **sections)
    data = made.data.model_copy(update={"database_url": SecretStr(url)})
    return made.model_copy(update={"data": data})


async def until(app: LiveApp) -> None:
    """Wait until the process's own indexes hold what is live."""
    parts = app.services.ingestion.worker.derivation
    async with asyncio.timeout(120):
        while True:
            version = (await parts.catalogue.contents(DEFAULT)).version
            if [await index.held(DEFAULT) for index in (parts.dense, parts.lexical)] == [version] * 2:
                return
            await asyncio.sleep(0.05)


async def test_a_start_leaves_the_running_turns_of_others_alone(
    tmp_path: Path, models_dir: Path, url: str, engine: AsyncEngine
) -> None:
    go_on = asyncio.Event()
    answers = ScriptedEngine((Hold(go_on), *recite("It opens at nine [1].")))
    async with live_app(settings(tmp_path, models_dir, url, "one"), scripted(answers)) as one:
        await one.put(HOURS)
        asking = asyncio.ensure_future(one.ask(QUESTION))
        await state(engine, "running")
        async with live_app(settings(tmp_path, models_dir, url, "two")):
            await state(engine, "running")
        go_on.set()
        assert text_of(await asking) == "It opens at nine [1]."
        await state(engine, "done")


async def state(engine: AsyncEngine, wanted: str) -> None:
    """Wait until the one turn is in this state, and in no other for a moment."""
    async with asyncio.timeout(60):
        while await _state(engine) != wanted:
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.3)
    assert await _state(engine) == wanted


async def _state(engine: AsyncEngine) -> str | None:
    async with engine.begin() as sql:
        return (await sql.execute(text("SELECT state FROM history_turns"))).scalar()


async def test_two_that_start_at_once_queue_what_is_outdated_once_and_both_follow(
    tmp_path: Path, models_dir: Path, url: str, engine: AsyncEngine
) -> None:
    async with live_app(settings(tmp_path, models_dir, url, "one")) as one:
        await one.put(HOURS, GARDEN)
    cut = {"target_tokens": 50}
    newer = [settings(tmp_path, models_dir, url, name, chunking=cut) for name in ("one", "two")]
    async with AsyncExitStack() as stack:
        apps = await asyncio.gather(*(stack.enter_async_context(live_app(each)) for each in newer))
        async with asyncio.timeout(120):
            while await _made_by(engine) != {"50"}:
                await asyncio.sleep(0.1)
        for app in apps:
            await until(app)
            assert "nine in the morning" in text_of(await app.ask(QUESTION))
    async with engine.begin() as sql:
        queued = select(func.count()).select_from(ingestion_items).join(ingestions)
        assert await sql.scalar(queued) == 4


async def _made_by(engine: AsyncEngine) -> set[str]:
    async with engine.begin() as sql:
        rows = (await sql.execute(text("SELECT made_by FROM documents"))).scalars()
        return {one.split("/")[1].split("+")[0] for one in rows}
