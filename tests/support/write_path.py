"""The write path on fakes: a reader of paragraphs, an embedder of hashes, indexes in dictionaries."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from backend.core.clock import Clock
from backend.core.errors import UnreadableDocument
from backend.core.types import Note, Passage
from backend.corpus.base import CorpusRef
from backend.corpus.sql import SqlCatalogue
from backend.embedding.base import Vectors
from backend.ingest.base import SEPARATOR, Block, Chunk, Parsed
from backend.ingest.derive import Derivation
from backend.ingest.follow import Follower
from backend.ingest.leases import SqlLeases
from backend.ingest.pipeline import Pipeline
from backend.ingest.prepare import Preparer
from backend.ingest.publish import Publisher
from backend.ingest.service import Bounds, Ingestion
from backend.ingest.sql import SqlJobs
from backend.ingest.worker import Pace, Worker
from backend.telemetry.metrics import Metrics


class ParagraphReader:
    """Every paragraph a block; BROKEN in it cannot be read, BUG breaks the reader, SCAN leaves pages out."""

    def __init__(self) -> None:
        self.reads: list[str] = []

    async def read(self, name: str, data: bytes) -> Parsed:
        self.reads.append(name)
        await asyncio.sleep(0)
        text = data.decode()
        if "BROKEN" in text:
            raise UnreadableDocument("it is damaged")
        if "BUG" in text:
            raise ValueError("a defect")
        blocks = tuple(Block("paragraph", part) for part in text.split(SEPARATOR))
        notes = (Note("pages_without_text", 2, "2 of 3"),) if "SCAN" in text else ()
        return Parsed(title=name, media_type="text/plain", language="en", blocks=blocks, notes=notes)


def cut_paragraphs(parsed: Parsed) -> list[Chunk]:
    """One chunk a block."""
    chunks, at = [], 0
    for block in parsed.blocks:
        chunks.append(Chunk(block.text, (), None, at, at + len(block.text)))
        at += len(block.text) + len(SEPARATOR)
    return chunks


class HashingEmbedder:
    """The same text, the same vector; `fail` is raised instead, once for each entry."""

    id = "hashing"
    dimensions = 8
    max_tokens = 256

    def __init__(self) -> None:
        self.fail: list[Exception] = []
        self.calls: list[int] = []

    async def embed_passages(self, texts: Sequence[str]) -> Vectors:
        self.calls.append(len(texts))
        await asyncio.sleep(0)
        if self.fail:
            raise self.fail.pop(0)
        rows = [np.frombuffer(hashlib.sha256(text.encode()).digest()[:8], np.uint8) for text in texts]
        raw = np.array(rows, np.float32).reshape(len(texts), 8) + 1
        return raw / np.linalg.norm(raw, axis=1, keepdims=True)

    async def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return await self.embed_passages(texts)

    def count_tokens(self, text: str) -> int:
        return len(text.split())


@dataclass
class DictIndex:
    """Passages by id. Writes one at a time and lets others run in between, as a real index may."""

    passages_of: dict[CorpusRef, dict[str, Passage]] = field(default_factory=dict)
    version_of: dict[CorpusRef, str] = field(default_factory=dict)
    fail: list[Exception] = field(default_factory=list)
    writes: int = 0

    async def remove(self, corpus: CorpusRef, revisions: Sequence[str]) -> None:
        for passage in list(self.passages_of.get(corpus, {}).values()):
            await asyncio.sleep(0)
            if passage.revision in revisions:
                del self.passages_of[corpus][passage.id]

    async def count(self, corpus: CorpusRef) -> int:
        return len(self.passages_of.get(corpus, {}))

    async def held(self, corpus: CorpusRef) -> str:
        return self.version_of.get(corpus, "")

    async def hold(self, corpus: CorpusRef, version: str) -> None:
        await asyncio.sleep(0)
        self.version_of[corpus] = version

    async def counts(self, corpus: CorpusRef, revisions: Collection[str]) -> Mapping[str, int]:
        return Counter(passage.revision for passage in self.of(corpus).values())

    async def keep_only(self, corpus: CorpusRef, revisions: Collection[str]) -> None:
        await self.remove(corpus, list({p.revision for p in self.of(corpus).values()} - set(revisions)))

    def lose(self) -> None:
        """As if its files were gone."""
        self.passages_of.clear()
        self.version_of.clear()

    async def _put(self, corpus: CorpusRef, passages: Sequence[Passage]) -> None:
        self.writes += 1
        for passage in passages:
            await asyncio.sleep(0)
            if self.fail:
                raise self.fail.pop(0)
            if "POISON" in passage.text:
                raise ValueError("refused")
            self.passages_of.setdefault(corpus, {})[passage.id] = passage

    def of(self, corpus: CorpusRef) -> dict[str, Passage]:
        """What is held, whether live or not."""
        return dict(self.passages_of.get(corpus, {}))


@dataclass
class DictDense(DictIndex):
    """The writing half of a dense index."""

    rows: dict[str, Vectors] = field(default_factory=dict)

    async def add(self, corpus: CorpusRef, passages: Sequence[Passage], vectors: Vectors) -> None:
        assert len(passages) == len(vectors)
        self.rows.update(zip((one.id for one in passages), vectors, strict=True))
        await self._put(corpus, passages)

    async def vectors(self, corpus: CorpusRef, ids: Sequence[str]) -> Mapping[str, Vectors]:
        return {id: self.rows[id] for id in ids if id in self.of(corpus)}


class DictLexical(DictIndex):
    """The writing half of a lexical index."""

    async def add(self, corpus: CorpusRef, passages: Sequence[Passage]) -> None:
        await self._put(corpus, passages)

    async def passages(self, corpus: CorpusRef, revision: str) -> Sequence[Passage]:
        return [passage for passage in self.of(corpus).values() if passage.revision == revision]


class Killed(BaseException):
    """The process is dead: whatever it asks for from now on does not happen."""


class Fuse:
    """Kills a process at its `steps`-th call to anything outside it."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def burn(self) -> None:
        self.left -= 1
        if self.left <= 0:
            raise Killed


class Mortal:
    """A port whose calls burn a fuse: before they are made, and before their answer arrives."""

    def __init__(self, port, fuse: Fuse) -> None:
        self._port, self._fuse = port, fuse

    def __getattr__(self, name: str):
        found = getattr(self._port, name)
        if not asyncio.iscoroutinefunction(found):
            return found

        async def call(*args, **options):
            self._fuse.burn()
            answer = await found(*args, **options)
            self._fuse.burn()
            return answer

        return call


@dataclass
class WritePath:
    """A process's write path; several over one database and the same indexes are several processes."""

    ingestion: Ingestion
    catalogue: SqlCatalogue
    jobs: SqlJobs
    reader: ParagraphReader
    embedder: HashingEmbedder
    dense: DictDense
    lexical: DictLexical
    follower: Follower

    async def put(self, corpus: CorpusRef, **files: str):
        """Submit texts by stem and work until their end."""
        status = await self.ingestion.submit(
            corpus, [(f"{stem}.md", t.encode()) for stem, t in files.items()]
        )
        return await self.ingestion.run_to_end(corpus.tenant, status.id)

    async def contents(self, corpus: CorpusRef) -> tuple:
        """All that an undisturbed run leaves behind, without what is drawn or dated."""
        documents = await self.catalogue.documents(corpus)
        texts = [await self.catalogue.text(corpus, d.id) for d in documents]
        rows = [
            (d.id, d.name, d.title, d.revision, d.content_sha256, d.size_bytes, d.passages) for d in documents
        ]
        return rows, texts, self.dense.of(corpus), self.lexical.of(corpus)


def write_path(
    engine,
    clock: Clock,
    *,
    like: WritePath | None = None,
    made_by: str = "test",
    pace: Pace | None = None,
    bounds: Bounds | None = None,
    batch_passages: int = 4,
    fuse: Fuse | None = None,
    shared: bool = False,
) -> WritePath:
    """A write path on `engine`.

    Args:
        like: On the indexes of another; if `shared`, on a host of its own, with a lexical index of its own.
        fuse: Not for long.
        shared: The dense index is a server's, the lexical one is kept by the host's follower.
    """

    def mortal(port):
        return Mortal(port, fuse) if fuse else port

    metrics = Metrics()
    reader, embedder = ParagraphReader(), HashingEmbedder()
    dense = like.dense if like else DictDense()
    lexical = like.lexical if like and not shared else DictLexical()
    catalogue, jobs = mortal(SqlCatalogue(engine, clock)), mortal(SqlJobs(engine, clock))
    preparer = Preparer(catalogue, jobs, mortal(reader), cut_paragraphs, made_by)
    parts = (catalogue, jobs, mortal(embedder), mortal(dense), mortal(lexical))
    publisher, derivation = Publisher(*parts), Derivation(*parts, clock)
    follower = Follower(Path(), Derivation(*parts, clock, ("lexical",), shared=True), clock)
    if shared:
        publisher = replace(publisher, lexical=None)
        derivation = Derivation(*parts, clock, ("dense",), shared=True)
    pipeline = Pipeline(jobs, preparer, publisher, metrics, clock, batch_passages)
    leases = mortal(SqlLeases(engine, clock))
    worker = Worker(catalogue, jobs, leases, pipeline, derivation, clock, pace or Pace())
    ingestion = Ingestion(catalogue, jobs, worker, made_by, metrics, bounds or Bounds())
    return WritePath(ingestion, catalogue, jobs, reader, embedder, dense, lexical, follower)
