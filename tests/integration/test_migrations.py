"""The migrations and the tables in the code are the same thing."""

from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

import backend.wiring.services  # noqa: F401  names every adapter, and so every table
from backend.infra.migrate import migrate
from backend.infra.sql import metadata, open_engine
from tests.support.postgres import postgres_server


def differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection), metadata))


async def check(engine: AsyncEngine) -> None:
    await migrate(engine)
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await migrate(engine)
    await engine.dispose()


async def test_migrating_gives_the_tables_of_the_code_on_sqlite(tmp_path: Path) -> None:
    await check(open_engine(f"sqlite+aiosqlite:///{tmp_path / 'x.db'}"))


async def test_migrating_gives_the_tables_of_the_code_on_postgresql() -> None:
    with postgres_server() as url:
        await check(open_engine(url))
