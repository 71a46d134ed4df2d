"""The dense index in Chroma, in this process: files under one folder.

One process per folder: a second one that has the index open never sees the first one's later vectors.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from backend.core.errors import RetrievalUnavailable, StorageFull
from backend.core.types import Passage
from backend.corpus.base import CorpusRef, LiveView
from backend.embedding.base import Vectors
from backend.retrieval import chroma_rows
from backend.retrieval.base import Hit
from backend.retrieval.chroma_package import SETTINGS, ChromaError, NotFoundError, chromadb
from backend.retrieval.chroma_rows import (
    AT_ONCE,
    FOUND,
    GRAPH,
    HELD,
    LOOKED_UP,
    among,
    collection_name,
    hits,
    portions,
    says_full,
)
from backend.retrieval.threads import Threads


class ChromaIndex:
    """One collection for each tenant, corpus and embedder, with cosine distance.

    Args:
        folder: Created when missing, opened at the first call.
        embedder_id: As in `Embedder.id`; another embedder sees other collections.
    """

    def __init__(self, folder: Path, embedder_id: str, *, workers: int = 4) -> None:
        self._folder = folder
        self._embedder_id = embedder_id
        self._threads = Threads("chroma", workers=workers)
        self._lock = threading.Lock()
        self._client: Any = None
        self._collections: dict[CorpusRef, Any] = {}
        self._whole: set[CorpusRef] = set()

    async def add(self, corpus: CorpusRef, passages: Sequence[Passage], vectors: Vectors) -> None:
        """See `DenseIndex`."""
        if passages:
            await self._threads.call(lambda: self._add(corpus, passages, vectors))

    async def remove(self, corpus: CorpusRef, revisions: Sequence[str]) -> None:
        """See `Derived`."""
        if revisions:
            await self._threads.call(lambda: self._remove(corpus, list(revisions)))

    async def vectors(self, corpus: CorpusRef, ids: Sequence[str]) -> Mapping[str, Vectors]:
        """See `DenseIndex`."""
        return await self._threads.call(lambda: self._vectors(corpus, ids))

    async def search(self, corpus: CorpusRef, vector: Vectors, limit: int) -> Sequence[Hit]:
        """See `DenseIndex`."""
        return await self._threads.call(lambda: self._search(corpus, vector, limit))

    async def held(self, corpus: CorpusRef) -> str:
        """See `Derived`; kept in the collection's own metadata, and so lost with it."""
        return await self._threads.call(lambda: self._held(corpus))

    async def hold(self, corpus: CorpusRef, version: str) -> None:
        """See `Derived`."""
        await self._threads.call(lambda: self._hold(corpus, version))

    async def covers(self, corpus: CorpusRef, view: LiveView) -> bool:
        """See `Derived`; passages are here before they are live, so what was whole once is."""
        if corpus not in self._whole and await self.held(corpus):
            self._whole.add(corpus)
        return corpus in self._whole

    async def counts(self, corpus: CorpusRef, revisions: Collection[str]) -> Mapping[str, int]:
        """See `Derived`."""
        return await self._threads.call(lambda: self._counts(corpus, list(revisions)))

    async def keep_only(self, corpus: CorpusRef, revisions: Collection[str]) -> None:
        """See `Derived`."""
        await self._threads.call(lambda: self._keep_only(corpus, frozenset(revisions)))

    async def count(self, corpus: CorpusRef) -> int:
        """See `Derived`."""
        return await self._threads.call(lambda: self._count(corpus))

    def close(self) -> None:
        """Wait for calls that run, then release the files."""
        self._threads.close()
        if self._client is not None:
            self._client.close()

    def _add(self, corpus: CorpusRef, passages: Sequence[Passage], vectors: Vectors) -> None:
        with _translated():
            collection = self._collection(corpus, create=True)
            step = self._client.get_max_batch_size()
            for first in range(0, len(passages), step):
                some = slice(first, first + step)
                collection.upsert(embeddings=vectors[some], **chroma_rows.rows(passages[some]))

    def _remove(self, corpus: CorpusRef, revisions: list[str]) -> None:
        with _translated():
            collection = self._collection(corpus, create=False)
            if collection is not None:
                for some in portions(revisions, AT_ONCE):
                    collection.delete(where=among(some))

    def _vectors(self, corpus: CorpusRef, ids: Sequence[str]) -> Mapping[str, Vectors]:
        found: dict[str, Vectors] = {}
        with _translated():
            collection = self._collection(corpus, create=False)
            for some in portions(ids, AT_ONCE) if collection is not None else ():
                found |= chroma_rows.vectors(collection.get(ids=list(some), include=["embeddings"]))
        return found

    def _search(self, corpus: CorpusRef, vector: Vectors, limit: int) -> Sequence[Hit]:
        with _translated():
            collection = self._collection(corpus, create=False)
            if collection is None or limit < 1:
                return ()
            vectors = vector.reshape(1, -1)
            return hits(collection.query(query_embeddings=vectors, n_results=limit, include=list(FOUND)))

    def _count(self, corpus: CorpusRef) -> int:
        with _translated():
            collection = self._collection(corpus, create=False)
            return 0 if collection is None else int(collection.count())

    def _held(self, corpus: CorpusRef) -> str:
        with _translated():
            if self._collection(corpus, create=False) is None:
                return ""
            found = self._open(
                collection_name(corpus, self._embedder_id), create=False
            )  # what another process has noted since
            return str((found.metadata or {}).get(HELD, "")) if found is not None else ""

    def _hold(self, corpus: CorpusRef, version: str) -> None:
        with _translated():
            self._collection(corpus, create=True).modify(metadata={HELD: version})

    def _counts(self, corpus: CorpusRef, revisions: list[str]) -> Mapping[str, int]:
        counts: Counter[str] = Counter()
        with _translated():
            collection = self._collection(corpus, create=False)
            if collection is not None:
                for some in portions(revisions, LOOKED_UP):
                    got = collection.get(where=among(some), include=["metadatas"])
                    counts.update(chroma_rows.revisions(got))
        return counts

    def _keep_only(self, corpus: CorpusRef, revisions: frozenset[str]) -> None:
        with _translated():
            collection = self._collection(corpus, create=False)
            if collection is None:
                return
            here: set[str] = set()
            for first in range(0, int(collection.count()), AT_ONCE):
                page = collection.get(limit=AT_ONCE, offset=first, include=["metadatas"])
                here.update(chroma_rows.revisions(page))
        self._remove(corpus, list(here - revisions))

    def _collection(self, corpus: CorpusRef, *, create: bool) -> Any:
        with self._lock:
            if self._client is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._client = chromadb.PersistentClient(str(self._folder), SETTINGS.model_copy())
            if corpus not in self._collections:
                collection = self._open(collection_name(corpus, self._embedder_id), create=create)
                if collection is None:
                    return None
                self._collections[corpus] = collection
            return self._collections[corpus]

    def _open(self, name: str, *, create: bool) -> Any:
        if create:
            return self._client.get_or_create_collection(name, configuration=GRAPH, embedding_function=None)
        try:
            return self._client.get_collection(name, embedding_function=None)
        except NotFoundError:
            return None


@contextmanager
def _translated() -> Iterator[None]:
    """Chroma's errors as ours.

    Raises:
        StorageFull, RetrievalUnavailable
    """
    try:
        yield
    except (ChromaError, OSError, RuntimeError, ValueError) as exc:
        if says_full(str(exc)):
            raise StorageFull("no space is left for the dense index") from exc
        raise RetrievalUnavailable("the dense index does not answer") from exc
