"""Writes that share transactions, on a real SQLite file."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from backend.core.errors import NotFound, StorageUnavailable
from backend.history.writes import GroupCommit
from tests.support.databases import empty_database, sqlite_url


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    async with empty_database(sqlite_url(tmp_path)) as opened:
        async with opened.begin() as connection:
            await connection.execute(text("CREATE TABLE words (word TEXT PRIMARY KEY)"))
        yield opened


@pytest.fixture
async def writes(engine: AsyncEngine) -> AsyncIterator[GroupCommit]:
    made = GroupCommit(engine)
    yield made
    await made.close()


def adding(word: str):
    async def add(connection: AsyncConnection) -> str:
        await connection.execute(text("INSERT INTO words VALUES (:word)"), {"word": word})
        return word

    return add


async def words(engine: AsyncEngine) -> set[str]:
    async with engine.begin() as connection:
        return set(await connection.scalars(text("SELECT word FROM words")))


async def test_what_comes_while_one_is_under_way_shares_the_next_transaction(
    writes: GroupCommit, engine: AsyncEngine
) -> None:
    commits = []
    event.listen(engine.sync_engine, "commit", commits.append)
    many = [f"w{number}" for number in range(50)]
    assert await asyncio.gather(*(writes.write(adding(word)) for word in many)) == many
    assert await words(engine) == set(many)
    assert len(commits) <= 3


async def test_one_after_the_other_each_is_made_at_once(writes: GroupCommit, engine: AsyncEngine) -> None:
    async with asyncio.timeout(60):
        for number in range(30):
            await writes.write(adding(f"w{number}"))
            assert len(await words(engine)) == number + 1


async def test_one_that_is_refused_takes_no_other_with_it(writes: GroupCommit, engine: AsyncEngine) -> None:
    async def missing(connection: AsyncConnection) -> str:
        raise NotFound("no such conversation")

    works = [adding("a"), adding("a"), missing, adding("b")]
    outcomes = await asyncio.gather(*(writes.write(work) for work in works), return_exceptions=True)
    assert [outcome if isinstance(outcome, str) else type(outcome) for outcome in outcomes] == [
        "a", IntegrityError, NotFound, "b",
    ]  # fmt: skip
    assert await words(engine) == {"a", "b"}


async def test_a_caller_that_gives_up_stops_nobody_else(writes: GroupCommit, engine: AsyncEngine) -> None:
    entered, release = asyncio.Event(), asyncio.Event()

    async def slow(connection: AsyncConnection) -> None:
        entered.set()
        await release.wait()

    first = asyncio.ensure_future(writes.write(slow))
    await entered.wait()
    given_up, kept = (asyncio.ensure_future(writes.write(adding(word))) for word in ("gone", "kept"))
    await asyncio.sleep(0)
    given_up.cancel()
    first.cancel()
    release.set()
    assert await kept == "kept"
    assert await words(engine) == {"kept"}


async def test_a_database_that_fails_is_said_to_all(tmp_path: Path) -> None:
    async with empty_database(sqlite_url(tmp_path)) as without_table:
        writes = GroupCommit(without_table)
        outcomes = await asyncio.gather(
            *(writes.write(adding(word)) for word in "abc"), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes] == [StorageUnavailable] * 3


async def test_closing_tells_those_who_still_wait(engine: AsyncEngine) -> None:
    writes, entered = GroupCommit(engine), asyncio.Event()

    async def endless(connection: AsyncConnection) -> None:
        entered.set()
        await asyncio.Event().wait()

    waiting = [asyncio.ensure_future(writes.write(endless))]
    await entered.wait()
    waiting.append(asyncio.ensure_future(writes.write(adding("late"))))
    await asyncio.sleep(0)
    await writes.close()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StorageUnavailable] * 2
