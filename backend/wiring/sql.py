"""The database, opened and up to date."""

from __future__ import annotations

from contextlib import AsyncExitStack
from importlib import import_module

from sqlalchemy.ext.asyncio import AsyncEngine

from backend.config import Settings, named, variable
from backend.core.errors import Misconfigured, StorageUnavailable
from backend.infra.revision import revision
from backend.infra.revisions import HEAD, KNOWN
from backend.infra.sql import Connections, check, open_engine, reason


async def open_sql(stack: AsyncExitStack, settings: Settings) -> AsyncEngine:
    """The engine, closed with `stack`.

    Raises:
        Misconfigured: The address is no database of ours, or another release wrote to it.
        StorageUnavailable: It does not answer; says why.
        StorageFull: The disk has no room.
    """
    name = named("data", "database_url", settings.data.database_url)
    data = settings.data
    connections = Connections(data.sql_connections, data.sql_more_connections, data.sql_wait_s)
    try:
        engine = open_engine(settings.database, connections)
    except Misconfigured as exc:
        raise Misconfigured(f"{name} {exc.message}") from exc
    stack.push_async_callback(engine.dispose)
    try:
        await check(engine)
        await _up_to_date(engine)
    except StorageUnavailable as exc:
        where = name if settings.data.database_url else str(settings.database)
        raise StorageUnavailable(f"{where}: {exc.message}: {reason(exc.__cause__)}") from exc
    return engine


async def _up_to_date(engine: AsyncEngine) -> None:
    """Alembic takes 0.2 s to import: only a database that needs it is worth that."""
    found = await revision(engine)
    if found is not None and found not in KNOWN:
        raise Misconfigured(
            f"the database was written by a newer release (revision {found[:40]!a}, this one knows {HEAD}): "
            f"install that release, or set {variable('data', 'dir')} to another folder"
        )
    if found != HEAD:
        await import_module("backend.infra.migrate").migrate(engine)
