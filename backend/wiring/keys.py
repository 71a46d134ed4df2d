"""The key store alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncEngine

from backend.config import Settings
from backend.core.clock import Clock, SystemClock
from backend.infra.folder_lock import prepare
from backend.security.base import KeyStore
from backend.security.sql import SqlKeys
from backend.wiring.sql import open_sql, secret_of


@asynccontextmanager
async def open_keys(settings: Settings) -> AsyncIterator[KeyStore]:
    """The key store; works beside a running server."""
    async with AsyncExitStack() as stack:
        prepare(settings.data.dir)
        engine = await open_sql(stack, settings)
        yield key_store(settings, engine, SystemClock())


def key_store(settings: Settings, engine: AsyncEngine, clock: Clock) -> KeyStore:
    """The keys in a database."""
    return SqlKeys(engine, clock, pepper=secret_of(settings))
