"""Which revision of its tables a database is at, without the library that changes them."""

from __future__ import annotations

from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.infra.sql import transaction


async def revision(engine: AsyncEngine) -> str | None:
    """The database's; None if it has no tables yet.

    Raises:
        StorageUnavailable, StorageFull
    """
    async with transaction(engine) as connection:
        return await connection.run_sync(_read)


def _read(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT max(version_num) FROM alembic_version")).scalar()
