"""The key store alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from backend.config import Settings
from backend.core.clock import SystemClock
from backend.infra.folder_lock import prepare
from backend.security.base import KeyStore
from backend.security.sql import SqlKeys
from backend.wiring.sql import open_sql


@asynccontextmanager
async def open_keys(settings: Settings) -> AsyncIterator[KeyStore]:
    """The key store, for making and listing keys; works beside a running server."""
    async with AsyncExitStack() as stack:
        prepare(settings.data.dir)
        engine = await open_sql(stack, settings)
        yield SqlKeys(engine, SystemClock())
