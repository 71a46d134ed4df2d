"""The dense index in a Chroma server, by its HTTP interface, version 2.

Chroma's own client takes 0.8 s of CPU and 31 MB to import, asks the server when it is made, and waits for
an answer without end. Here every call has a deadline, and one that is cancelled closes its connection.
"""

from __future__ import annotations

import asyncio
import json
import logging
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import aiohttp

from backend.core.errors import RetrievalUnavailable, StorageFull
from backend.core.types import Passage
from backend.corpus.base import CorpusRef, LiveView
from backend.embedding.base import Vectors
from backend.retrieval import chroma_rows
from backend.retrieval.base import Hit
from backend.retrieval.chroma_rows import AT_ONCE, FOUND, GRAPH, HELD, LOOKED_UP, among, portions

log = logging.getLogger(__name__)

_COLLECTIONS: Final = "/api/v2/tenants/default_tenant/databases/default_database/collections"
_WRITTEN_AT_ONCE: Final = 250
"""About a megabyte: what a request is made of holds up the event loop."""
_WORK_S: Final = 30.0
"""Longest that a write takes, or a read of much of the index."""
T = TypeVar("T")


class _Gone(Exception):
    """The server has no such collection."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A collection as it was last seen."""

    id: str
    held: str


class ChromaServerIndex:
    """One collection for each tenant, corpus and embedder; any number of processes write to it and read it.

    A collection that was lost, or is made again, has no version that it holds: nobody searches it until then.

    Args:
        session: Of the process's HTTP client.
        url: Of the server, without a path unless a proxy adds one.
        embedder_id: As in `Embedder.id`; another embedder sees other collections.
        headers: Credentials.
        timeout_s: Longest answer to a search or a look.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        embedder_id: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 2.0,
    ) -> None:
        self._session = session
        self._root = url.rstrip("/") + _COLLECTIONS
        self._embedder_id = embedder_id
        self._headers = dict(headers or {})
        self._timeout_s = timeout_s
        self._known: dict[CorpusRef, _Known] = {}

    async def add(self, corpus: CorpusRef, passages: Sequence[Passage], vectors: Vectors) -> None:
        """See `DenseIndex`."""
        for first in range(0, len(passages), _WRITTEN_AT_ONCE):
            some = slice(first, first + _WRITTEN_AT_ONCE)
            body = chroma_rows.rows(passages[some]) | {"embeddings": [_packed(row) for row in vectors[some]]}
            await self._made(corpus)
            await self._on(corpus, _nothing, "POST", "/upsert", body, within_s=_WORK_S)

    async def remove(self, corpus: CorpusRef, revisions: Sequence[str]) -> None:
        """See `Derived`."""
        for some in portions(revisions, AT_ONCE):
            await self._on(corpus, _nothing, "POST", "/delete", {"where": among(some)}, within_s=_WORK_S)

    async def vectors(self, corpus: CorpusRef, ids: Sequence[str]) -> Mapping[str, Vectors]:
        """See `DenseIndex`."""
        found: dict[str, Vectors] = {}
        for some in portions(ids, _WRITTEN_AT_ONCE):
            body = {"ids": list(some), "include": ["embeddings"]}
            found |= await self._on(corpus, chroma_rows.vectors, "POST", "/get", body, within_s=_WORK_S) or {}
        return found

    async def search(self, corpus: CorpusRef, vector: Vectors, limit: int) -> Sequence[Hit]:
        """See `DenseIndex`."""
        if limit < 1:
            return ()
        before = self._known.get(corpus)
        body = {"query_embeddings": [vector.tolist()], "n_results": limit, "include": FOUND}
        found = await self._on(corpus, chroma_rows.hits, "POST", "/query", body)
        after = self._known.get(corpus)
        if before is not None and (after is None or (after.id != before.id and not after.held)):
            raise RetrievalUnavailable("the dense index was lost, and is made again")
        return found or ()

    async def held(self, corpus: CorpusRef) -> str:
        """See `Derived`; kept in the collection's own metadata, and so lost with it."""
        found = await self._look(corpus)
        return found.held if found is not None else ""

    async def hold(self, corpus: CorpusRef, version: str) -> None:
        """See `Derived`."""
        made = await self._made(corpus)
        note = {"new_metadata": {HELD: version}}
        await self._on(corpus, _nothing, "PUT", "", note, within_s=_WORK_S)
        self._known[corpus] = _Known(self._known.get(corpus, made).id, version)

    async def covers(self, corpus: CorpusRef, view: LiveView) -> bool:
        """See `Derived`; passages are here before they are live, so what was whole once is."""
        known = self._known.get(corpus)
        return bool(known is not None and known.held) or bool(await self.held(corpus))

    async def counts(self, corpus: CorpusRef, revisions: Collection[str]) -> Mapping[str, int]:
        """See `Derived`."""
        counts: Counter[str] = Counter()
        for some in portions(list(revisions), LOOKED_UP):
            counts.update(await self._revisions(corpus, {"where": among(some)}))
        return counts

    async def keep_only(self, corpus: CorpusRef, revisions: Collection[str]) -> None:
        """See `Derived`."""
        here: set[str] = set()
        for first in range(0, await self.count(corpus), AT_ONCE):
            here.update(await self._revisions(corpus, {"limit": AT_ONCE, "offset": first}))
        await self.remove(corpus, sorted(here - set(revisions)))

    async def count(self, corpus: CorpusRef) -> int:
        """See `Derived`."""
        return await self._on(corpus, int, "GET", "/count") or 0

    def close(self) -> None:
        """Nothing to release: the session is the process's."""

    async def _revisions(self, corpus: CorpusRef, which: Mapping[str, Any]) -> list[str]:
        body = {**which, "include": ["metadatas"]}
        return await self._on(corpus, chroma_rows.revisions, "POST", "/get", body, within_s=_WORK_S) or []

    async def _on(
        self,
        corpus: CorpusRef,
        read: Callable[[Any], T],
        method: str,
        act: str,
        body: Any = None,
        *,
        within_s: float | None = None,
    ) -> T | None:
        """What `read` makes of the answer of the corpus's collection; None if there is none.

        One that was removed and made again meanwhile has another id.
        """
        for known in (self._known.get(corpus), None):
            found = known or await self._look(corpus)
            if found is None:
                break
            try:
                return await self._ask(read, method, f"/{found.id}{act}", body, within_s=within_s)
            except _Gone:
                self._known.pop(corpus, None)
        return None

    async def _look(self, corpus: CorpusRef) -> _Known | None:
        """The collection as it is now."""
        try:
            name = chroma_rows.collection_name(corpus, self._embedder_id)
            known = self._known[corpus] = await self._ask(_known, "GET", f"/{name}")
        except _Gone:
            self._known.pop(corpus, None)
            return None
        return known

    async def _made(self, corpus: CorpusRef) -> _Known:
        """The collection, made if need be."""
        if (known := self._known.get(corpus)) is not None:
            return known
        name = chroma_rows.collection_name(corpus, self._embedder_id)
        body = {"name": name, "configuration": GRAPH, "get_or_create": True}
        try:
            known = self._known[corpus] = await self._ask(_known, "POST", "", body, within_s=_WORK_S)
        except _Gone as exc:
            raise RetrievalUnavailable("the Chroma server has no such database") from exc
        return known

    async def _ask(
        self,
        read: Callable[[Any], T],
        method: str,
        path: str,
        body: Any = None,
        *,
        within_s: float | None = None,
    ) -> T:
        """What `read` makes of an answer of the server.

        Raises:
            _Gone: There is no such collection.
            RetrievalUnavailable, StorageFull
        """
        try:
            async with (
                asyncio.timeout(within_s or self._timeout_s),
                self._session.request(
                    method, self._root + path, json=body, headers=self._headers, allow_redirects=False
                ) as answer,
            ):
                status, said = answer.status, await answer.read()
            if status == 200:
                return read(json.loads(said))
        except (aiohttp.ClientError, OSError, TimeoutError) as exc:
            raise RetrievalUnavailable("the Chroma server does not answer") from exc
        except (ValueError, TypeError, LookupError, AttributeError) as exc:
            raise RetrievalUnavailable("what answers is no Chroma server of version 1") from exc
        raise _refusal(status, said.decode("utf-8", "replace"))


def _known(found: Any) -> _Known:
    return _Known(str(found["id"]), str((found["metadata"] or {}).get(HELD, "")))


def _nothing(_: Any) -> None:
    """Of an answer that only says that it was done."""


def _packed(row: Vectors) -> str:
    """A vector as the server takes it with a third of the bytes."""
    return b64encode(row.astype("<f4").tobytes()).decode()


def _refusal(status: int, said: str) -> Exception:
    if status == 404:
        return _Gone()
    if status in (401, 403):
        return RetrievalUnavailable("the Chroma server refuses the credential: see LIBRI_DATA__CHROMA_TOKEN")
    if chroma_rows.says_full(said):
        return StorageFull("no space is left for the dense index")
    log.warning("the Chroma server refused", extra={"status": status, "said": said[:200]})
    if "dimension" in said:
        return RetrievalUnavailable("the Chroma server holds vectors of another length for this embedder")
    return RetrievalUnavailable(f"the Chroma server answers {status}")
