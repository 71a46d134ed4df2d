"""The write path as the API and the command line use it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from backend.core.aio import first_of_group
from backend.core.errors import InvalidRequest, QuotaExceeded, StorageFull
from backend.corpus.base import CorpusRef, Document, WritableCatalogue
from backend.ingest import folder
from backend.ingest.jobs import IngestionStatus, JobStore, NewItem
from backend.ingest.parse.detect import media_type
from backend.ingest.parse.names import safe_name
from backend.ingest.plan import Entry, Plan, plan
from backend.ingest.worker import Worker
from backend.telemetry.metrics import Metrics

OnProgress = Callable[[IngestionStatus], None]

SEND_BYTES = 8 * 1024**2
SEND_FILES = 64
STEP_S = 0.25


@dataclass(frozen=True, slots=True)
class Bounds:
    """What may wait, for one tenant, and what is read from a folder; see `config.Ingest`."""

    items: int = 10_000
    size_bytes: int = 2 * 1024**3
    file_bytes: int = 256 * 1024**2


@dataclass(frozen=True, slots=True)
class Ingestion:
    """Put documents in, watch, take them out.

    Args:
        made_by: As the worker's; tells which documents are up to date.
    """

    catalogue: WritableCatalogue
    jobs: JobStore
    worker: Worker
    made_by: str
    metrics: Metrics
    bounds: Bounds = Bounds()

    async def submit(
        self, corpus: CorpusRef, files: Sequence[tuple[str, bytes]], origins: Sequence[str] = ()
    ) -> IngestionStatus:
        """Keep files and queue them, in one transaction; on return they are not lost.

        A file of a kind that is not read is recorded as failed; one that is up to date, as unchanged.

        Args:
            corpus: Where they go.
            files: Names and bytes.
            origins: Where each lies; see `Document.origin`.

        Raises:
            InvalidRequest: No file, or a name that cannot be kept; nothing is queued.
            QuotaExceeded: The tenant has too much waiting.
            StorageFull: No room here or in an index; nothing is queued.
            StorageUnavailable
        """
        if not files:
            raise InvalidRequest("no file was sent")
        if origins and len(origins) != len(files):
            raise InvalidRequest("some files have no origin, or some origins no file")
        named = [(safe_name(name), data) for name, data in files]
        await self._admit(corpus.tenant, len(named), sum(len(data) for _, data in named))
        waiting = await self.jobs.waiting_names(corpus)
        lie = list(origins) or [""] * len(named)
        items = [await self._item(corpus, *one, at, waiting) for one, at in zip(named, lie, strict=True)]
        ingestion = await self.jobs.create(corpus, items)
        self._count(items)
        self.worker.wake()
        return await self.jobs.status(corpus.tenant, ingestion)

    async def submit_path(self, corpus: CorpusRef, paths: Sequence[Path]) -> str:
        """Keep and queue every file below `paths`; the ingestion's id. Nothing is removed.

        Raises:
            NotFound: A path names nothing.
            StorageFull, StorageUnavailable
        """
        made = await self.plan(corpus, paths)
        for document, entry in made.renamed:
            await self.rename(corpus, document, entry.name, entry.origin)
        return await self.submit_files(corpus, made.files)

    async def plan(self, corpus: CorpusRef, paths: Sequence[Path]) -> Plan:
        """What reading `paths` into the corpus does; nothing is done yet.

        Raises:
            NotFound: A path names nothing.
            StorageUnavailable
        """
        known = await self.catalogue.all_documents(corpus)
        seen = await asyncio.to_thread(folder.survey, paths, max_bytes=self.bounds.file_bytes)
        return await asyncio.to_thread(plan, seen, known)

    async def submit_files(self, corpus: CorpusRef, files: Sequence[Entry]) -> str:
        """Keep and queue files, a few megabytes at a time; the ingestion's id.

        Files that cannot be read are recorded by name and reason.

        Raises:
            StorageFull, StorageUnavailable
        """
        lease_s = self.worker.pace.lease_s
        ingestion = await self.jobs.create(corpus, [], open_s=lease_s)
        waiting = await self.jobs.waiting_names(corpus)
        async for items in self._portions(corpus, files, waiting):
            await self.jobs.append(corpus.tenant, ingestion, items, open_s=lease_s)
            self._count(items)
        await self.jobs.append(corpus.tenant, ingestion, [], open_s=0)
        self.worker.wake()
        return ingestion

    async def rename(self, corpus: CorpusRef, document: Document, name: str, origin: str) -> str | None:
        """Give a document another name and place; the ingestion that reads it again for that, None if none.

        Raises:
            NotFound
            InvalidRequest: A name that cannot be kept.
            Conflict: Another document has that name.
            StorageUnavailable, StorageFull
        """
        if safe_name(name) == document.name:
            await self.catalogue.place(corpus, {document.id: origin})
            return None
        await self.catalogue.rename(corpus, document.id, safe_name(name), origin)
        await self.jobs.forget(corpus, document.name, document.content_sha256)
        ingestion = await self.jobs.reread(corpus, document=document.id)
        self.worker.wake()
        return ingestion

    async def status(self, tenant: str, ingestion: str) -> IngestionStatus:
        """How far an ingestion has come.

        Raises:
            NotFound: No such ingestion of this tenant.
        """
        return await self.jobs.status(tenant, ingestion)

    async def delete(self, corpus: CorpusRef, *documents: str) -> None:
        """Remove documents: from answers at once, from the indexes now or as soon as they can be written.

        Raises:
            NotFound
            StorageUnavailable
        """
        for document in documents:
            known = await self.catalogue.get(corpus, document)
            await self.catalogue.remove(corpus, document)
            await self.jobs.forget(corpus, known.name, known.content_sha256)
        await self.worker.tidy(corpus)
        self.worker.wake()

    async def reingest(self, corpus: CorpusRef, *, everything: bool = False) -> str | None:
        """Queue documents that another reader, chunking or embedder made; the ingestion's id, None if none.

        Those that wait already are not queued twice, however many processes ask.

        Args:
            corpus: Whose documents.
            everything: Also those up to date; for indexes that were lost.
        """
        ingestion = await self.jobs.reread(corpus, unlike="" if everything else self.made_by)
        if ingestion is not None:
            self.worker.wake()
        return ingestion

    async def run_worker(self) -> None:
        """Work on ingestions until cancelled; run for as long as the process serves."""
        await self.worker.run()

    async def run_to_end(
        self, tenant: str, ingestion: str, on_progress: OnProgress = lambda status: None
    ) -> IngestionStatus:
        """Work on an ingestion, or watch another process do it, until it has ended.

        Raises:
            NotFound
            Unavailable: Something is down or full; the ingestion stays queued and goes on later.
        """
        with first_of_group():
            async with asyncio.TaskGroup() as group:
                status = await self.jobs.status(tenant, ingestion)
                worker = group.create_task(self._work(status.corpus))
                while not status.ended:
                    on_progress(status)
                    await asyncio.wait([worker], timeout=STEP_S)
                    status = await self.jobs.status(tenant, ingestion)
                    if worker.done() and not status.ended:
                        worker = group.create_task(self._work(status.corpus))
                worker.cancel()  # it may be at what others sent, or about to note what the indexes hold
        await self.worker.follow(status.corpus)
        on_progress(status)
        return status

    async def _work(self, corpus: CorpusRef) -> None:
        if not await self.worker.work(corpus):
            await asyncio.sleep(STEP_S)  # another process is at it

    async def _admit(self, tenant: str, items: int, size_bytes: int) -> None:
        backlog = await self.jobs.backlog(tenant)
        if backlog.stalled == StorageFull.code:
            raise StorageFull("no space is left for documents", retry_after_s=self.worker.pace.retry_s)
        over = (
            backlog.items + items > self.bounds.items,
            backlog.size_bytes + size_bytes > self.bounds.size_bytes,
        )
        if any(over):
            raise QuotaExceeded("too many documents are waiting to be read", retry_after_s=60)

    def _count(self, items: Sequence[NewItem]) -> None:
        """Those that the worker will never see."""
        for item in items:
            if item.state != "waiting":
                self.metrics.ingested(item.state)

    async def _item(
        self, corpus: CorpusRef, name: str, data: bytes, origin: str, waiting: frozenset[str]
    ) -> NewItem:
        item = NewItem(name, await asyncio.to_thread(_sha256, data), len(data), data, origin=origin)
        try:
            media_type(name, data)
        except InvalidRequest as exc:
            return replace(item, data=None, state="failed", reason=exc.message)
        # What still waits under this name will change the document; then only the worker can tell.
        found = None if name in waiting else await self.catalogue.by_name(corpus, name)
        if found is None or (found[0].content_sha256, found[1]) != (item.sha256, self.made_by):
            return item
        if origin and found[0].origin != origin:
            await self.catalogue.place(corpus, {found[0].id: origin})
        return replace(item, data=None, state="unchanged", document=found[0].id, passages=found[0].passages)

    async def _portions(
        self, corpus: CorpusRef, files: Sequence[Entry], waiting: frozenset[str]
    ) -> AsyncIterator[list[NewItem]]:
        portion: list[NewItem] = []
        for entry in files:
            portion.append(await self._read(corpus, entry, waiting))
            kept = sum(len(item.data or b"") for item in portion)
            if kept >= SEND_BYTES or len(portion) >= SEND_FILES:
                yield portion
                portion = []
        if portion:
            yield portion

    async def _read(self, corpus: CorpusRef, entry: Entry, waiting: frozenset[str]) -> NewItem:
        refused = NewItem(entry.name, "", 0, state="failed", reason=entry.refusal)
        if entry.refusal:
            return refused
        try:
            data = await asyncio.to_thread(folder.read, entry.path, max_bytes=self.bounds.file_bytes)
            return await self._item(corpus, entry.name, data, entry.origin, waiting)
        except OSError as exc:
            return replace(refused, reason=exc.strerror or "it cannot be opened")
        except InvalidRequest as exc:
            return replace(refused, reason=exc.message)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
