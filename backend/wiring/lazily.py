"""The roles of commands; what they are made of takes seconds to import, and they may not come to need it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING

from backend.config import Settings
from backend.wiring.folder import data_folder

if TYPE_CHECKING:
    from backend.corpus.base import WritableCatalogue
    from backend.ingest.jobs import JobStore
    from backend.services import Services
    from backend.wiring.worker import Reading


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """As `wiring.services.open_services`, imported once the data folder is known to be free."""
    with data_folder(settings):
        pass
    async with import_module("backend.wiring.services").open_services(settings) as services:
        yield services


@asynccontextmanager
async def open_worker(settings: Settings) -> AsyncIterator[Reading]:
    """As `wiring.worker.open_worker`, likewise."""
    with data_folder(settings):
        pass
    async with import_module("backend.wiring.worker").open_worker(settings) as reading:
        yield reading


@asynccontextmanager
async def open_catalogue(settings: Settings) -> AsyncIterator[tuple[WritableCatalogue, JobStore]]:
    """As `wiring.catalogue.open_catalogue`, likewise."""
    with data_folder(settings):
        pass
    async with import_module("backend.wiring.catalogue").open_catalogue(settings) as found:
        yield found
