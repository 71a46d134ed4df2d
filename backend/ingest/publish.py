"""Prepared documents into both indexes, then live, several at a time."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backend.core.errors import Conflict, Unavailable
from backend.core.types import Passage
from backend.corpus.base import CorpusRef, WritableCatalogue
from backend.embedding.base import Embedder, Vectors
from backend.ingest.jobs import JobStore, Outcome
from backend.ingest.prepare import Prepared
from backend.retrieval.base import DenseIndex, LexicalIndex

log = logging.getLogger(__name__)

WRITE_PASSAGES = 1000


@dataclass(frozen=True, slots=True)
class Embedded:
    """Documents with the vectors of all their passages, float32[n, d], in order."""

    documents: tuple[Prepared, ...]
    vectors: Vectors

    def split(self) -> list[Embedded]:
        """One for each document."""
        bounds = np.cumsum([len(document.new.passages) for document in self.documents])[:-1]
        parts = np.split(self.vectors, bounds)
        return [Embedded((document,), part) for document, part in zip(self.documents, parts, strict=True)]


@dataclass(frozen=True, slots=True)
class Publisher:
    """Embeds, writes and flips. Only the holder of the corpus's lease may use it.

    Args:
        lexical: None: made of what is live, by whoever keeps it (`ingest.follow`).
    """

    catalogue: WritableCatalogue
    jobs: JobStore
    embedder: Embedder
    dense: DenseIndex
    lexical: LexicalIndex | None

    async def embed(self, corpus: CorpusRef, documents: Sequence[Prepared]) -> Embedded:
        """Vectors of all passages; in one call, those that the documents did not hold before.

        Raises:
            EmbedderUnavailable, RetrievalUnavailable, StorageUnavailable
        """
        await self.jobs.begin([document.item for document in documents])
        texts = [passage.indexed_text for document in documents for passage in document.new.passages]
        known: dict[str, Vectors] = {}
        for document in documents:
            known |= await self._known(corpus, document.replaces)
        if missing := [text for text in dict.fromkeys(texts) if text not in known]:
            known.update(zip(missing, await self.embedder.embed_passages(missing), strict=True))
        return Embedded(tuple(documents), np.stack([known[text] for text in texts]))

    async def publish(self, corpus: CorpusRef, embedded: Embedded, writer: str) -> list[Outcome]:
        """Write the passages and make the documents live; a defect of one does not hold back the others.

        Raises:
            Unavailable: An index or the database is down or full.
            Conflict: `writer` was overtaken.
        """
        try:
            await self._write(corpus, embedded, writer)
            return [await self._flip(corpus, document, writer) for document in embedded.documents]
        except (Unavailable, Conflict):
            raise
        except Exception:
            if len(embedded.documents) > 1:
                parts = embedded.split()
                return [outcome for part in parts for outcome in await self.publish(corpus, part, writer)]
            (document,) = embedded.documents
            log.exception("a document could not be indexed", extra={"ingestion": document.item.ingestion})
            return [Outcome(document.item, "failed", "the document could not be indexed")]

    async def _known(self, corpus: CorpusRef, revision: str) -> dict[str, Vectors]:
        """The vectors of a live revision by what was embedded; the index is this embedder's own."""
        passages = await self.catalogue.passages(corpus, revision) if revision else ()
        vectors = await self.dense.vectors(corpus, [one.id for one in passages]) if passages else {}
        return {one.indexed_text: vectors[one.id] for one in passages if one.id in vectors}

    async def _write(self, corpus: CorpusRef, embedded: Embedded, writer: str) -> None:
        await self.catalogue.draft(corpus, [d.new.revision for d in embedded.documents], writer=writer)
        passages: list[Passage] = [p for document in embedded.documents for p in document.new.passages]
        for first in range(0, len(passages), WRITE_PASSAGES):
            part = slice(first, first + WRITE_PASSAGES)
            await self.dense.add(corpus, passages[part], embedded.vectors[part])
        if self.lexical is not None:
            await self.lexical.add(corpus, passages)

    async def _flip(self, corpus: CorpusRef, document: Prepared, writer: str) -> Outcome:
        live, _ = await self.catalogue.flip(corpus, document.new, writer=writer)
        return Outcome(document.item, "done", document=live.id, passages=live.passages)
