"""All services, for commands that may not need them: what they are made of takes seconds to import."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module

from backend.config import Settings
from backend.infra.folder_lock import hold
from backend.services import Services


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """As `wiring.services.open_services`, imported once the data folder is known to be free."""
    with hold(settings.data.dir):
        pass
    async with import_module("backend.wiring.services").open_services(settings) as services:
        yield services
