"""One item up to the point where its passages can be embedded."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from backend.core.errors import InvalidRequest, Unavailable
from backend.core.types import Passage
from backend.corpus.base import Catalogue, CorpusRef, Document, NewRevision
from backend.corpus.ids import passage_id, revision_id
from backend.ingest.base import Chunk, Parsed, Reader
from backend.ingest.jobs import Item, ItemState, JobStore, Outcome

log = logging.getLogger(__name__)

Cut = Callable[[Parsed], list[Chunk]]

MAX_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document read and cut; nothing of it is written yet.

    Attributes:
        replaces: The live revision of the document; "" if it is new, or is to be made from nothing.
    """

    item: Item
    new: NewRevision
    replaces: str = ""


@dataclass(frozen=True, slots=True)
class Preparer:
    """Reads items.

    Args:
        cut: Chunks of a document; runs in a thread.
        made_by: Names reader, chunking and embedder; see `NewRevision.made_by`.
    """

    catalogue: Catalogue
    jobs: JobStore
    reader: Reader
    cut: Cut
    made_by: str

    async def prepare(self, corpus: CorpusRef, item: Item) -> Prepared | Outcome:
        """The document, or a verdict on the item: unchanged or failed.

        Raises:
            Unavailable: Something that is needed is down; the item is none the worse for it.
        """
        if item.attempts >= MAX_ATTEMPTS:
            return Outcome(item, "failed", f"given up after {MAX_ATTEMPTS} attempts")
        found = None if item.force else await self.catalogue.by_name(corpus, item.name)
        if found is not None and (found[0].content_sha256, found[1]) == (item.sha256, self.made_by):
            return _unchanged(item, found[0])
        try:
            return await self._read(corpus, item, found[0] if found is not None else None)
        except Unavailable:
            raise
        except InvalidRequest as exc:
            return Outcome(item, "failed", exc.message)
        except Exception:
            log.exception("a document could not be read", extra={"ingestion": item.ingestion})
            return Outcome(item, "failed", "the document could not be read")

    async def _read(self, corpus: CorpusRef, item: Item, known: Document | None) -> Prepared | Outcome:
        data = await self.jobs.blob(corpus.tenant, item.sha256)
        if data is None:
            return Outcome(item, "failed", "the file is no longer kept; send it again")
        parsed = await self.reader.read(item.name, data)
        chunks = await asyncio.to_thread(self.cut, parsed)
        if not chunks:
            return Outcome(item, "failed", "the document holds no text")
        revision = revision_id(corpus, item.name, item.sha256, self.made_by)
        document = known.id if known is not None else await self.catalogue.id_for(corpus, item.name)
        passages = _passages(document, revision, item.name, parsed, chunks)
        replaces = known.revision if known is not None else ""
        return Prepared(item, self._revision(item, revision, parsed, passages), replaces)

    def _revision(
        self, item: Item, revision: str, parsed: Parsed, passages: tuple[Passage, ...]
    ) -> NewRevision:
        return NewRevision(
            name=item.name,
            revision=revision,
            title=parsed.title,
            media_type=parsed.media_type,
            language=parsed.language,
            content_sha256=item.sha256,
            size_bytes=item.size_bytes,
            passages=passages,
            text=parsed.text,
            made_by=self.made_by,
            document=passages[0].document,
            origin=item.origin,
            notes=parsed.notes,
            about=parsed.about,
        )


def _unchanged(item: Item, found: Document) -> Outcome:
    # An attempt that was begun and is live now is ours: the process died between the flip and its record.
    state: ItemState = "done" if item.attempts else "unchanged"
    return Outcome(item, state, document=found.id, passages=found.passages)


def _passages(
    document: str, revision: str, name: str, parsed: Parsed, chunks: list[Chunk]
) -> tuple[Passage, ...]:
    return tuple(
        Passage(
            id=passage_id(revision, ordinal),
            document=document,
            revision=revision,
            name=name,
            title=parsed.title,
            headings=chunk.headings,
            text=chunk.text,
            page=chunk.page,
            start=chunk.start,
            end=chunk.end,
            language=parsed.language,
            lead=chunk.lead,
        )
        for ordinal, chunk in enumerate(chunks)
    )
