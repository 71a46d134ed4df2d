"""The server's secret in SQL, for processes that share a database."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.core.clock import Clock
from backend.core.errors import Misconfigured
from backend.infra.sql import insert, transaction
from backend.security.secret_file import MIN_CHARS
from backend.security.tables import secrets

_NAME = "server"


async def agreed(engine: AsyncEngine, clock: Clock, *, proposed: bytes) -> bytes:
    """The secret of all processes on this database: what the first of them proposed.

    Raises:
        Misconfigured: What SQL holds is damaged.
        StorageUnavailable, StorageFull
    """
    row = {"name": _NAME, "secret": proposed, "created": clock.now()}
    async with transaction(engine) as connection:
        await connection.execute(insert(engine, secrets).values(row).on_conflict_do_nothing())
    found = await stored(engine)
    if found is None:
        raise Misconfigured(
            "the secret in the table security_secrets is damaged: set LIBRI_AUTH__SECRET, or delete its row"
        )
    return found


async def stored(engine: AsyncEngine) -> bytes | None:
    """The secret that SQL holds; None without a usable one.

    Raises:
        StorageUnavailable, StorageFull
    """
    async with transaction(engine) as connection:
        found: bytes | None = await connection.scalar(select(secrets.c.secret).where(secrets.c.name == _NAME))
    return found if found and len(found) >= MIN_CHARS else None
