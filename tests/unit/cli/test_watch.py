"""When a watched folder is said to have changed."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from backend.cli.watch import changes
from tests.unit.ingest.test_folder import write

EVERY_S = 0.01


@asynccontextmanager
async def watched(folder: Path) -> AsyncIterator[asyncio.Queue[None]]:
    """What is told of `folder` while the block runs."""
    told: asyncio.Queue[None] = asyncio.Queue()

    async def follow() -> None:
        async for _ in changes([folder], every_s=EVERY_S):
            told.put_nowait(None)

    task = asyncio.ensure_future(follow())
    await asyncio.sleep(5 * EVERY_S)
    try:
        yield told
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def is_told(told: asyncio.Queue[None]) -> None:
    async with asyncio.timeout(20):
        await told.get()


async def test_a_change_a_new_file_and_a_removal_are_told(tmp_path):
    write(tmp_path, "a.md")
    async with watched(tmp_path) as told:
        write(tmp_path, "a.md", text="longer")
        await is_told(told)
        write(tmp_path, "sub/b.md")
        await is_told(told)
        (tmp_path / "a.md").unlink()
        await is_told(told)
        assert told.empty()


async def test_a_file_that_an_editor_puts_in_place_of_another_is_a_change(tmp_path):
    write(tmp_path, "a.md")
    async with watched(tmp_path) as told:
        write(tmp_path, ".a.md.swp", "a.md~", text="y")
        (tmp_path / "a.md~").replace(tmp_path / "a.md")
        await is_told(told)


async def test_what_is_hidden_or_no_document_is_no_change(tmp_path):
    write(tmp_path, "a.md")
    async with watched(tmp_path) as told:
        write(tmp_path, ".git/index", "logo.png", "#a.md#")
        await asyncio.sleep(10 * EVERY_S)
        assert told.empty()


async def test_a_folder_that_is_away_for_a_while_is_no_change(tmp_path):
    folder, aside = write(tmp_path / "in", "a.md"), tmp_path / "aside"
    async with watched(folder) as told:
        folder.rename(aside)
        await asyncio.sleep(10 * EVERY_S)
        aside.rename(folder)
        await asyncio.sleep(10 * EVERY_S)
        assert told.empty()
        shutil.rmtree(folder)
        write(folder, "b.md")
        await is_told(told)
