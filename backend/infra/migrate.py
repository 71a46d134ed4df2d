"""Brings the database's tables up to date."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.infra.sql import transaction

_SCRIPTS = Path(__file__).parent / "migrations"
_LOCK = 0x11B21A55
_TURN_S = 300
"""Longest wait for another process's migration; one that stands still is told by whoever starts next."""


def alembic_config(connection: Connection) -> Config:
    """Alembic's configuration for one open connection."""
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    config.attributes["connection"] = connection
    return config


async def migrate(engine: AsyncEngine) -> None:
    """Apply what is missing, in one transaction, however long; processes that start together take turns.

    Raises:
        StorageUnavailable, StorageFull
    """
    async with transaction(engine, timeout_s=None) as connection:
        if connection.dialect.name == "postgresql":
            await connection.execute(text(f"SET LOCAL lock_timeout = '{_TURN_S}s'"))
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
            await connection.execute(text("SET LOCAL lock_timeout = DEFAULT"))
        await connection.run_sync(_upgrade)


def _upgrade(connection: Connection) -> None:
    command.upgrade(alembic_config(connection), "head")
