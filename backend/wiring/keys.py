"""The keys alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module

from backend.config import Settings
from backend.core.clock import SystemClock
from backend.core.errors import Misconfigured, StorageFull, StorageUnavailable
from backend.infra.driver import open_driver
from backend.infra.folder_lock import prepare
from backend.infra.revisions import HEAD
from backend.security.base import Keyring
from backend.security.plain import PlainKeys


@asynccontextmanager
async def open_keys(settings: Settings) -> AsyncIterator[Keyring]:
    """The keys, to be made, listed and revoked; works beside a running server.

    Raises:
        Misconfigured: The database is none of ours, or another release wrote to it.
        StorageUnavailable, StorageFull
    """
    prepare(settings.data.dir)
    async with AsyncExitStack() as stack:
        yield await _at_once(stack, settings) or await _with_tables(stack, settings)


async def _at_once(stack: AsyncExitStack, settings: Settings) -> Keyring | None:
    """Those of a database that is there, answers and is up to date; None of any other."""
    try:
        driver = await stack.enter_async_context(open_driver(settings.database))
        revisions = await driver.rows("SELECT version_num FROM alembic_version")
    except (Misconfigured, StorageUnavailable, StorageFull):
        return None
    return PlainKeys(driver, SystemClock()) if [tuple(row) for row in revisions] == [(HEAD,)] else None


async def _with_tables(stack: AsyncExitStack, settings: Settings) -> Keyring:
    """The long way, by which tables are made and what is wrong is told."""
    engine = await import_module("backend.wiring.sql").open_sql(stack, settings)
    keys: Keyring = import_module("backend.security.sql").SqlKeys(engine, SystemClock())
    return keys
