"""A data folder of a release without passages in SQL: opened, answered from, filled in the background."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from shutil import rmtree

import pytest

from backend.config import Settings
from backend.corpus.sql import SqlCatalogue
from backend.services import Services
from backend.wiring.services import open_services
from tests.support.live_app import DEFAULT, GARDEN, HOURS, live_app, settings_in, text_of

QUESTION = "When does the library open in the morning?"


def as_the_release_before_left_it(folder: Path) -> None:
    """The tables of revision 0001, and indexes that say nothing of a version."""
    with sqlite3.connect(folder / "libriassist.db") as sql:
        sql.execute("DROP TABLE passages")
        sql.execute("DROP TABLE history_processes")
        sql.execute("ALTER TABLE history_turns DROP COLUMN process")
        sql.execute("UPDATE alembic_version SET version_num = '0001'")
    sql.close()
    for note in (folder / "lexical").glob("*/held"):
        note.unlink()
    with sqlite3.connect(folder / "chroma" / "chroma.sqlite3") as sql:
        sql.execute("DELETE FROM collection_metadata WHERE key = 'held'")
    sql.close()


def nothing(folder: Path) -> None:
    """Both indexes are there."""


def without(name: str) -> Callable[[Path], None]:
    def lose(folder: Path) -> None:
        rmtree(folder / name)

    lose.__name__ = f"without_{name}"
    return lose


def without_both(folder: Path) -> None:
    without("chroma")(folder)
    without("lexical")(folder)


async def contents(services: Services) -> tuple[object, ...]:
    """What is live, and what SQL and both indexes have of it."""
    catalogue = services.catalogue
    assert isinstance(catalogue, SqlCatalogue)
    derivation = services.ingestion.worker.derivation
    whole = await catalogue.contents(DEFAULT)
    kept = [
        sorted(await catalogue.passages(DEFAULT, one), key=lambda p: p.id) for one in sorted(whole.passages)
    ]
    found = [
        sorted(await derivation.lexical.passages(DEFAULT, one), key=lambda p: p.id)
        for one in sorted(whole.passages)
    ]
    assert kept == found
    counts = await derivation.dense.count(DEFAULT), await derivation.lexical.count(DEFAULT)
    return whole.passages, whole.bare, kept, found, counts


async def settled(services: Services) -> None:
    """Wait until both indexes hold what is live."""
    derivation = services.ingestion.worker.derivation
    async with asyncio.timeout(120):
        while True:
            whole = await derivation.catalogue.contents(DEFAULT)
            held = [await index.held(DEFAULT) for index in (derivation.dense, derivation.lexical)]
            if not whole.bare and held == [whole.version] * 2:
                return
            await asyncio.sleep(0.05)


@pytest.fixture
async def settings(tmp_path: Path, models_dir: Path) -> Settings:
    settings = settings_in(tmp_path / "data", models_dir)
    async with open_services(settings, instances=()) as services:
        started = await services.ingestion.submit(DEFAULT, [HOURS, GARDEN])
        await services.ingestion.run_to_end(DEFAULT.tenant, started.id)
    return settings


@pytest.mark.parametrize("lose", [nothing, without("lexical"), without("chroma"), without_both])
async def test_a_folder_of_the_release_before_is_filled_once_and_stays_answerable(
    settings: Settings, lose: Callable[[Path], None]
) -> None:
    async with open_services(settings, instances=()) as services:
        before = await contents(services)
    as_the_release_before_left_it(settings.data.dir)
    lose(settings.data.dir)
    async with live_app(settings) as app:
        services = app.services
        if lose is nothing:
            assert "nine in the morning" in text_of(await app.ask(QUESTION))
        await settled(services)
        assert await contents(services) == before
        assert "nine in the morning" in text_of(await app.ask(QUESTION))
        with sqlite3.connect(settings.data.dir / "libriassist.db") as sql:
            jobs = sql.execute("SELECT count(*) FROM ingestions").fetchone()
        sql.close()
    async with open_services(settings, instances=(), serving=True) as services:
        await settled(services)
        assert await contents(services) == before
        with sqlite3.connect(settings.data.dir / "libriassist.db") as sql:
            assert sql.execute("SELECT count(*) FROM ingestions").fetchone() == jobs
        sql.close()


@pytest.mark.parametrize("lose", [without("lexical"), without("chroma"), without_both])
async def test_a_lost_index_is_made_again_from_sql_alone(
    settings: Settings, lose: Callable[[Path], None]
) -> None:
    async with open_services(settings, instances=()) as services:
        before = await contents(services)
    with sqlite3.connect(settings.data.dir / "libriassist.db") as sql:
        sql.execute("DELETE FROM blobs")
    sql.close()
    lose(settings.data.dir)
    async with open_services(settings, instances=(), serving=True) as services:
        await settled(services)
        assert await contents(services) == before
