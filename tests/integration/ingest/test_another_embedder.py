"""A folder that one embedder made is taken over by another: questions are answered, and nothing is lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from backend.config import Settings
from backend.ingest.service import Ingestion
from backend.wiring.services import open_services
from tests.support import tiny_ranker
from tests.support.live_app import DEFAULT, HOURS, LiveApp, live_app, settings_in, text_of

FILES = [
    HOURS,
    *(
        (f"shelf-{i}.md", f"# Shelf {i}\n\nShelf {i} holds books of {1900 + i}.\n".encode())
        for i in range(12)
    ),
]
PASSAGES = 14
QUESTION = "When does the library open?"


@pytest.fixture
async def folder(tmp_path: Path, models_dir: Path) -> Path:
    """Made with the embedder of most tests."""
    async with open_services(settings_in(tmp_path / "data", models_dir), instances=()) as services:
        started = await services.ingestion.submit(DEFAULT, FILES)
        await services.ingestion.run_to_end(DEFAULT.tenant, started.id)
    return tmp_path / "data"


@pytest.fixture
def changed(folder: Path, models_dir: Path, tmp_path: Path) -> Settings:
    """The same folder, and a model of the build of multilingual-e5-large."""
    other = tiny_ranker.build(tmp_path / "other", "xlm-roberta")
    return settings_in(
        folder,
        models_dir,
        embedding={"model": str(other)},
        retrieval={"catch_up_s": 0, "index_timeout_s": 20},
    )


async def is_whole(app: LiveApp) -> bool:
    return (await app.services.checked())["dense"].ok


async def test_questions_are_answered_meanwhile_and_what_was_broken_off_ends_whole(changed: Settings) -> None:
    async with open_services(changed, instances=()) as services:  # nothing works in the background here
        before = (await services.checked())["dense"]
        documents = {one.name for one in await services.catalogue.documents(DEFAULT)}
        await broken_off(services.ingestion)
    assert not before.ok
    assert f"0 of {PASSAGES} passages are embedded" in before.detail
    async with live_app(changed) as app:
        meanwhile = await app.ask(QUESTION)
        found = next(event.data for event in meanwhile if event.name == "sources")
        assert {"dense", "dense_being_made"} <= set(found["degraded"])
        assert "nine in the morning" in text_of(meanwhile)
        await whole(app)
        after = await app.ask(QUESTION)
        assert next(event.data for event in after if event.name == "sources")["degraded"] == []
        assert {one.name for one in await app.services.catalogue.documents(DEFAULT)} == documents


async def broken_off(ingestion: Ingestion) -> None:
    """Begin to read everything again, and stop in the middle."""
    again = await ingestion.reingest(DEFAULT)
    assert again is not None
    work = asyncio.ensure_future(ingestion.run_to_end(DEFAULT.tenant, again))
    while not (await ingestion.status(DEFAULT.tenant, again)).finished:
        await asyncio.sleep(0.01)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


async def whole(app: LiveApp) -> None:
    """Wait until all is read and embedded, and what was replaced is gone."""
    ingestion = app.services.ingestion
    dense = ingestion.worker.derivation.dense
    async with asyncio.timeout(120):
        while not await is_whole(app) or await ingestion.jobs.waiting_names(DEFAULT):
            await asyncio.sleep(0.05)
        while await dense.count(DEFAULT) != PASSAGES:
            await asyncio.sleep(0.05)
