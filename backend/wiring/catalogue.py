"""What is known of documents, without what reads them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from backend.config import Settings
from backend.core.clock import SystemClock
from backend.corpus.base import WritableCatalogue
from backend.corpus.sql import SqlCatalogue
from backend.ingest.jobs import JobStore
from backend.ingest.sql import SqlJobs
from backend.wiring.folder import data_folder
from backend.wiring.sql import open_sql


@asynccontextmanager
async def open_catalogue(settings: Settings) -> AsyncIterator[tuple[WritableCatalogue, JobStore]]:
    """The catalogue and the ingestions. Indexes are cleared of what is removed by whoever opens them next.

    Raises:
        FolderBusy: Another process uses the data folder.
        StorageUnavailable, StorageFull: The database cannot be opened.
    """
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        stack.enter_context(data_folder(settings))
        engine = await open_sql(stack, settings)
        yield SqlCatalogue(engine, clock), SqlJobs(engine, clock)
