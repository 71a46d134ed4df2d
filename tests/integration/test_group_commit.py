"""Writes that share transactions, on a real SQLite file."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from backend.core.errors import NotFound, StorageUnavailable
from backend.history.group_commit import GroupCommit
from tests.support.databases import empty_database, sqlite_url


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    async with empty_database(sqlite_url(tmp_path)) as opened:
        async with opened.begin() as connection:
            await connection.execute(text("CREATE TABLE words (word TEXT PRIMARY KEY)"))
        yield opened


class Words:
    """Writes words, "missing" excepted; waits before those after "wait" until it is let go."""

    def __init__(self) -> None:
        self.entered, self.release = asyncio.Event(), asyncio.Event()

    async def carry(self, connection: AsyncConnection, group: Sequence[str]) -> None:
        if "missing" in group:
            raise NotFound("no such word")
        await connection.execute(text("INSERT INTO words VALUES (:word)"), [{"word": word} for word in group])
        if "wait" in group:
            self.entered.set()
            await self.release.wait()


@pytest.fixture
def table() -> Words:
    return Words()


@pytest.fixture
async def writes(engine: AsyncEngine, table: Words) -> AsyncIterator[GroupCommit[str]]:
    made = GroupCommit(engine, table.carry)
    yield made
    await made.close()


async def words(engine: AsyncEngine) -> set[str]:
    async with engine.begin() as connection:
        return set(await connection.scalars(text("SELECT word FROM words")))


async def test_what_comes_while_one_is_under_way_shares_the_next_transaction(
    writes: GroupCommit[str], engine: AsyncEngine
) -> None:
    commits: list[object] = []
    event.listen(engine.sync_engine, "commit", commits.append)
    many = {f"w{number}" for number in range(50)}
    await asyncio.gather(*map(writes.make, many))
    assert await words(engine) == many
    assert len(commits) <= 3


async def test_one_after_the_other_each_is_made_at_once(
    writes: GroupCommit[str], engine: AsyncEngine
) -> None:
    async with asyncio.timeout(60):
        for number in range(30):
            await writes.make(f"w{number}")
            assert len(await words(engine)) == number + 1


async def test_one_that_is_refused_takes_no_other_with_it(
    writes: GroupCommit[str], engine: AsyncEngine
) -> None:
    group = ("a", "a", "missing", "b")
    outcomes = await asyncio.gather(*map(writes.make, group), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), IntegrityError, NotFound, type(None)]
    assert await words(engine) == {"a", "b"}


async def test_a_caller_that_gives_up_stops_nobody_else(
    writes: GroupCommit[str], table: Words, engine: AsyncEngine
) -> None:
    first = asyncio.ensure_future(writes.make("wait"))
    await table.entered.wait()
    given_up, kept = (asyncio.ensure_future(writes.make(word)) for word in ("gone", "kept"))
    await asyncio.sleep(0)
    given_up.cancel()
    first.cancel()
    table.release.set()
    await kept
    assert await words(engine) == {"wait", "kept"}


async def test_a_database_that_fails_is_said_to_all(tmp_path: Path, table: Words) -> None:
    async with empty_database(sqlite_url(tmp_path)) as without_table:
        writes = GroupCommit(without_table, table.carry)
        outcomes = await asyncio.gather(*map(writes.make, "abc"), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [StorageUnavailable] * 3


async def test_closing_tells_those_who_still_wait(engine: AsyncEngine, table: Words) -> None:
    writes = GroupCommit(engine, table.carry)
    waiting = [asyncio.ensure_future(writes.make("wait"))]
    await table.entered.wait()
    waiting.append(asyncio.ensure_future(writes.make("late")))
    await asyncio.sleep(0)
    await writes.close()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StorageUnavailable] * 2
