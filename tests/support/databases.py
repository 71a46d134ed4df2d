"""Empty databases for contract tests: SQLite in a file, PostgreSQL where it is installed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.infra.sql import metadata, open_engine


@pytest.fixture(scope="session")
def postgres_url(request: pytest.FixtureRequest) -> str:
    """Of the one server of all modules: a fixture that several import is one for each of them."""
    return request.getfixturevalue("one_postgres")


_made: dict[str, list[str]] = {}
"""Tables of each server's database, which are emptied rather than made anew for every test."""


@asynccontextmanager
async def empty_database(url: str) -> AsyncIterator[AsyncEngine]:
    """An engine on `url` with empty tables."""
    engine = open_engine(url)
    tables = sorted(metadata.tables)
    async with engine.begin() as connection:
        if _made.get(url) == tables:
            await connection.execute(text(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY"))
        else:
            await connection.run_sync(metadata.drop_all)
            await connection.run_sync(metadata.create_all)
    if engine.dialect.name == "postgresql":
        _made[url] = tables
    try:
        yield engine
    finally:
        await engine.dispose()


def sqlite_url(folder: Path) -> str:
    return f"sqlite+aiosqlite:///{folder / 'test.db'}"
