"""The documents as commands see them: in the data folder, or through the server that holds it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from backend.cli.client import ServerClient, running_server
from backend.cli.portions import portions
from backend.config import Settings
from backend.core.types import About, Note
from backend.corpus.base import CorpusRef, Document, WritableCatalogue
from backend.infra.folder_lock import FolderBusy
from backend.ingest.jobs import IngestionStatus, JobStore
from backend.ingest.plan import Entry
from backend.wiring.corpora import LOCAL_TENANT
from backend.wiring.lazily import open_catalogue, open_worker

if TYPE_CHECKING:
    from backend.ingest.service import Ingestion

if TYPE_CHECKING:
    from backend.ingest.service import Ingestion

Show = Callable[[dict[str, Any]], None]
"""Is told how many files there are in `total`, and how many are `finished`."""
_PAGE = 500


class Shelf(Protocol):
    """The documents of one corpus. Items are as in the answer of `/api/v1/ingestions/{id}`."""

    async def documents(self) -> Sequence[Document]:
        """All, by name."""

    async def failed(self) -> Sequence[dict[str, Any]]:
        """Items of files that could not be read when they were last handed in."""

    async def remove(self, documents: Sequence[Document]) -> None:
        """Remove documents."""


class Library(Shelf, Protocol):
    """A corpus that files can be read into."""

    @property
    def max_bytes(self) -> int:
        """Of the largest file that can be read."""

    async def rename(self, document: Document, entry: Entry) -> None:
        """Give a document the name and the place of a file."""

    async def read(self, files: Sequence[Entry], show: Show) -> Sequence[dict[str, Any]]:
        """Hand files in and wait until they are read; their items."""


@asynccontextmanager
async def open_library(settings: Settings, corpus: str) -> AsyncIterator[Library]:
    """The corpus, wherever it can be reached now."""
    try:
        async with open_worker(settings) as reading:
            yield Reading.of(reading.ingestion, CorpusRef(LOCAL_TENANT, corpus))
    except FolderBusy:
        async with running_server(settings) as server:
            yield Served(server, corpus, settings.server.max_upload_bytes)


@asynccontextmanager
async def open_shelf(settings: Settings, corpus: str) -> AsyncIterator[Shelf]:
    """Likewise, without what reads files."""
    try:
        async with open_catalogue(settings) as (catalogue, jobs):
            yield Kept(catalogue, jobs, CorpusRef(LOCAL_TENANT, corpus))
    except FolderBusy:
        async with running_server(settings) as server:
            yield Served(server, corpus, settings.server.max_upload_bytes)


@dataclass(frozen=True, slots=True)
class Kept:
    """In the database."""

    catalogue: WritableCatalogue
    jobs: JobStore
    corpus: CorpusRef

    async def documents(self) -> Sequence[Document]:
        """See `Shelf`."""
        return await self.catalogue.all_documents(self.corpus)

    async def failed(self) -> Sequence[dict[str, Any]]:
        """See `Shelf`."""
        return [asdict(item) for item in await self.jobs.failed(self.corpus)]

    async def remove(self, documents: Sequence[Document]) -> None:
        """See `Shelf`; the indexes are cleared by whoever opens them next."""
        for document in documents:
            await self.catalogue.remove(self.corpus, document.id)
            await self.jobs.forget(self.corpus, document.name, document.content_sha256)


@dataclass(frozen=True, slots=True)
class Reading(Kept):
    """In the data folder, with what reads files."""

    ingestion: Ingestion

    @classmethod
    def of(cls, ingestion: Ingestion, corpus: CorpusRef) -> Reading:
        """One corpus of the write path."""
        return cls(ingestion.catalogue, ingestion.jobs, corpus, ingestion)

    @property
    def max_bytes(self) -> int:
        """See `Library`."""
        return self.ingestion.bounds.file_bytes

    async def rename(self, document: Document, entry: Entry) -> None:
        """See `Library`; it is read again under its new name at once."""
        if again := await self.ingestion.rename(self.corpus, document, entry.name, entry.origin):
            await self.ingestion.run_to_end(self.corpus.tenant, again)

    async def read(self, files: Sequence[Entry], show: Show) -> Sequence[dict[str, Any]]:
        """See `Library`."""

        def shown(status: IngestionStatus) -> None:
            show({"total": status.total, "finished": status.finished})

        number = await self.ingestion.submit_files(self.corpus, files)
        status = await self.ingestion.run_to_end(self.corpus.tenant, number, shown)
        return [asdict(item) for item in status.items]

    async def remove(self, documents: Sequence[Document]) -> None:
        """See `Shelf`."""
        await self.ingestion.delete(self.corpus, *(document.id for document in documents))


@dataclass(frozen=True, slots=True)
class Served:
    """Through the server."""

    server: ServerClient
    corpus: str
    max_bytes: int

    async def documents(self) -> Sequence[Document]:
        """See `Shelf`."""
        found: list[Document] = []
        while True:
            after = {"after": found[-1].name} if found else {}
            params = {"corpus": self.corpus, "limit": str(_PAGE)} | after
            page = (await self.server.json("GET", "/api/v1/documents", params=params))["documents"]
            found += [_document(one) for one in page]
            if len(page) < _PAGE:
                return found

    async def failed(self) -> Sequence[dict[str, Any]]:
        """See `Library`."""
        params = {"corpus": self.corpus}
        return list((await self.server.json("GET", "/api/v1/ingestions/failed", params=params))["items"])

    async def rename(self, document: Document, entry: Entry) -> None:
        """See `Library`; the server reads it again in the background."""
        body = {"name": entry.name, "origin": entry.origin}
        await self._on(document, "PATCH", body)

    async def read(self, files: Sequence[Entry], show: Show) -> Sequence[dict[str, Any]]:
        """See `Library`; some at a time."""
        items: list[dict[str, Any]] = []
        for portion in portions(files, self.max_bytes, items):
            sent = [(entry.name, data, entry.origin) for entry, data in portion]
            done = await self.server.until_done(await self.server.upload(self.corpus, sent), show)
            items += done["items"]
        show({"total": len(items), "finished": len(items)})
        return items

    async def remove(self, documents: Sequence[Document]) -> None:
        """See `Library`."""
        for document in documents:
            await self._on(document, "DELETE")

    async def _on(self, document: Document, method: str, body: Any = None) -> None:
        params = {"corpus": self.corpus}
        await self.server.json(method, f"/api/v1/documents/{document.id}", json=body, params=params)


def _document(shown: dict[str, Any]) -> Document:
    """As the API shows it."""
    told = dict(shown)
    about = About(told.pop("date"), told.pop("description"))
    notes = tuple(Note(**note) for note in told.pop("notes"))
    return Document(corpus=CorpusRef(LOCAL_TENANT, told.pop("corpus")), about=about, notes=notes, **told)
