"""From a file that is handed in to passages in the indexes."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial

from sqlalchemy.ext.asyncio import AsyncEngine

from backend.config import Settings
from backend.core.clock import Clock
from backend.corpus.base import Catalogue
from backend.corpus.sql import SqlCatalogue
from backend.embedding.base import SPECIAL_TOKENS, Embedder
from backend.ingest.base import PARSER_VERSION
from backend.ingest.chunk import chunk
from backend.ingest.derive import BOTH, Derivation
from backend.ingest.follow import Follower
from backend.ingest.leases import SqlLeases
from backend.ingest.parse.reader import SandboxReader
from backend.ingest.pipeline import Pipeline
from backend.ingest.prepare import Preparer
from backend.ingest.publish import Publisher
from backend.ingest.service import Bounds, Ingestion
from backend.ingest.sql import SqlJobs
from backend.ingest.worker import Pace, Worker
from backend.retrieval.base import DenseIndex, LexicalIndex
from backend.retrieval.lexical_tantivy import VERSION as LEXICAL_VERSION
from backend.security.base import KeyStore
from backend.telemetry.metrics import Metrics
from backend.wiring.corpora import all_corpora
from backend.wiring.indexes import LEXICAL


def open_ingestion(
    stack: AsyncExitStack,
    settings: Settings,
    clock: Clock,
    engine: AsyncEngine,
    catalogue: SqlCatalogue,
    embedder: Embedder,
    indexes: tuple[DenseIndex, LexicalIndex],
    metrics: Metrics,
) -> Ingestion:
    """Hand-ins and the worker that reads them; nothing runs yet."""
    section, cutting = settings.ingest, settings.chunking
    reader = SandboxReader(section)
    stack.push_async_callback(reader.close)
    jobs = SqlJobs(engine, clock)
    cut = partial(
        chunk,
        count_tokens=embedder.count_tokens,
        target_tokens=cutting.target_tokens,
        overlap_tokens=cutting.overlap_tokens,
        max_tokens=embedder.max_tokens - SPECIAL_TOKENS,
    )
    made_by = "/".join(
        (PARSER_VERSION, f"{cutting.target_tokens}+{cutting.overlap_tokens}", LEXICAL_VERSION, embedder.id)
    )
    preparer = Preparer(catalogue, jobs, reader, cut, made_by)
    dense, lexical = indexes
    shared = bool(settings.data.chroma_url)  # then each host's lexical index has a follower
    publisher = Publisher(catalogue, jobs, embedder, dense, None if shared else lexical)
    derivation = Derivation(
        catalogue, jobs, embedder, dense, lexical, clock, ("dense",) if shared else BOTH, shared
    )
    worker = Worker(
        catalogue=catalogue,
        jobs=jobs,
        leases=SqlLeases(engine, clock, alone=not settings.data.database_url),  # the folder is locked
        pipeline=Pipeline(jobs, preparer, publisher, metrics, clock, section.batch_passages),
        derivation=derivation,
        clock=clock,
        pace=Pace(section.lease_s, section.poll_s, section.retry_s, section.grace_s, section.keep_s),
    )
    bounds = Bounds(section.queued_items, section.queued_bytes, section.max_file_bytes)
    return Ingestion(catalogue, jobs, worker, made_by, metrics, bounds)


def open_follower(settings: Settings, dense: Derivation) -> Follower:
    """What keeps the lexical index of this host; `dense` keeps the shared one, from the same parts."""
    parts = (dense.catalogue, dense.jobs, dense.embedder, dense.dense, dense.lexical, dense.clock)
    return Follower(
        settings.data.dir / LEXICAL, Derivation(*parts, keeps=("lexical",), shared=True), dense.clock
    )


async def queue_outdated(keys: KeyStore, catalogue: Catalogue, ingestion: Ingestion) -> None:
    """Queue documents that another parser, chunking or embedder made."""
    for corpus in await all_corpora(keys, catalogue):
        await ingestion.reingest(corpus)
