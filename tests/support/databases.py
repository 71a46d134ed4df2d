"""Empty databases for contract tests: SQLite in a file, PostgreSQL where it is installed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.infra.sql import metadata, open_engine


@pytest.fixture(scope="session")
def postgres_url(request: pytest.FixtureRequest) -> str:
    """Of the one server of all modules: a fixture that several import is one for each of them."""
    return request.getfixturevalue("one_postgres")


@asynccontextmanager
async def empty_database(url: str) -> AsyncIterator[AsyncEngine]:
    """An engine on `url` with empty tables; those of before are emptied, which is quicker than new ones."""
    engine = open_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(_emptied)
    try:
        yield engine
    finally:
        await engine.dispose()


def _emptied(connection: Connection) -> None:
    tables, there = metadata.tables.keys(), inspect(connection).get_table_names()
    if connection.dialect.name == "postgresql" and tables <= set(there):
        connection.execute(text(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY"))
        return
    metadata.drop_all(connection)
    metadata.create_all(connection)


def sqlite_url(folder: Path) -> str:
    return f"sqlite+aiosqlite:///{folder / 'test.db'}"
