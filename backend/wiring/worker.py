"""The worker role: what reads documents, and nothing that answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from backend.config import Settings
from backend.core.clock import SystemClock
from backend.corpus.base import Catalogue
from backend.corpus.sql import SqlCatalogue
from backend.ingest.service import Ingestion
from backend.security.base import KeyStore
from backend.security.sql import SqlKeys
from backend.telemetry.metrics import Metrics
from backend.wiring.embedder import open_embedder
from backend.wiring.folder import data_folder
from backend.wiring.indexes import open_indexes
from backend.wiring.sql import open_sql
from backend.wiring.write_path import open_ingestion


@dataclass(frozen=True, slots=True)
class Reading:
    """The write path, and the catalogue that it writes to."""

    ingestion: Ingestion
    catalogue: Catalogue
    keys: KeyStore


@asynccontextmanager
async def open_worker(settings: Settings) -> AsyncIterator[Reading]:
    """The write path, opened. No model server is asked, and no other process learns of this one.

    Raises:
        FolderBusy: Another process uses the data folder.
        StorageUnavailable, StorageFull: The database cannot be opened.
        EmbedderUnavailable: No such embedding model.
    """
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        stack.enter_context(data_folder(settings))
        engine = await open_sql(stack, settings)
        embedder = await open_embedder(stack, settings, clock)
        indexes = await open_indexes(stack, settings, embedder)
        catalogue = SqlCatalogue(engine, clock)
        ingestion = open_ingestion(stack, settings, clock, engine, catalogue, embedder, indexes, Metrics())
        yield Reading(ingestion, catalogue, SqlKeys(engine, clock))
