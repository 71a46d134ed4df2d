"""Processes that start together on one empty PostgreSQL, one of them killed in the middle."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from backend.config import Data, Settings
from backend.infra.revisions import HEAD
from backend.wiring.sql import open_sql
from tests.support.postgres import postgres_server

MIGRATES_AND_STAYS = """
import asyncio, sys
from backend.infra import migrate
from backend.infra.sql import open_engine, transaction

def upgrade_then_stay(connection):
    finished(connection)
    print("half", flush=True)
    sys.stdin.read()

finished, migrate._upgrade = migrate._upgrade, upgrade_then_stay
asyncio.run(migrate.migrate(open_engine(sys.argv[1])))
"""


@pytest.fixture
def url() -> Iterator[str]:
    with postgres_server() as url:
        yield url


async def test_five_that_start_together_are_all_ready_though_the_one_that_migrates_is_killed(
    url: str,
) -> None:
    command = [sys.executable, "-c", MIGRATES_AND_STAYS, url]
    pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
    first = await asyncio.create_subprocess_exec(*command, **pipes)
    assert first.stdout is not None
    assert await asyncio.wait_for(first.stdout.readline(), 60) == b"half\n"
    settings = Settings(data=Data(database_url=SecretStr(url)))
    async with AsyncExitStack() as stack:
        starting = asyncio.gather(*(open_sql(stack, settings) for _ in range(5)))
        await asyncio.wait([starting], timeout=1.0)
        assert not starting.done(), "they wait for their turn"
        first.kill()
        await first.wait()
        engines = await asyncio.wait_for(starting, 60)
        async with engines[0].connect() as connection:
            (found,) = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalars()
            assert found == HEAD
