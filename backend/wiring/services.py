"""Everything a process needs: opened in order, closed in reverse."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.calibration.files import CALIBRATIONS, calibration_for
from backend.chat.answer import Answerer
from backend.chat.memory import MemoryRuns
from backend.chat.openings import Openings
from backend.chat.producer import BackgroundProducer
from backend.chat.runs import Runs
from backend.config import Settings, variable
from backend.core.aio import Background
from backend.core.clock import Clock, SystemClock
from backend.core.errors import EmbedderUnavailable, LibriError
from backend.core.types import DEFAULT_CORPUS
from backend.corpus.base import Catalogue, CorpusRef
from backend.corpus.sql import SqlCatalogue
from backend.embedding.base import Embedder, Encoder
from backend.embedding.batching import BatchingEmbedder
from backend.embedding.cached import CachedEmbedder
from backend.embedding.fetch import from_hub
from backend.embedding.local_onnx import OnnxEncoder
from backend.embedding.models import Model, find, local_folder
from backend.engines.extractive import ExtractiveEngine
from backend.generations.memory import MemoryLog
from backend.health import health_checks
from backend.history.base import History
from backend.history.presence import Presence
from backend.history.sql import SqlHistory
from backend.infra import language
from backend.infra.folder_lock import hold
from backend.ingest.chunk import chunk
from backend.ingest.derive import Derivation
from backend.ingest.leases import SqlLeases
from backend.ingest.parse.reader import SandboxReader
from backend.ingest.pipeline import Pipeline
from backend.ingest.prepare import Preparer
from backend.ingest.publish import Publisher
from backend.ingest.service import Bounds, Ingestion
from backend.ingest.sql import SqlJobs
from backend.ingest.worker import Pace, Worker
from backend.pool.base import Instance, Pool
from backend.retrieval.base import DenseIndex, LexicalIndex
from backend.retrieval.chroma import ChromaIndex
from backend.retrieval.lexical_tantivy import VERSION as LEXICAL_VERSION
from backend.retrieval.lexical_tantivy import TantivyIndex
from backend.retrieval.search import HybridRetriever
from backend.security.base import KeyStore
from backend.security.cached import CachedKeys
from backend.security.cookies import Cookies
from backend.security.identity import Identity
from backend.security.sql import SqlKeys
from backend.services import Services
from backend.telemetry.metrics import Metrics
from backend.wiring.corpora import LOCAL_TENANT as LOCAL_TENANT
from backend.wiring.corpora import all_corpora
from backend.wiring.pool import open_pool
from backend.wiring.sql import open_sql, secret_of

PARSER_VERSION = "1"
"""Part of what a revision was made by: raise it when the parsers or the chunker read differently."""
_CHARS_PER_TOKEN = 4
SPECIAL_TOKENS = 2
"""What the embedder adds around a text."""


@asynccontextmanager
async def open_services(
    settings: Settings,
    *,
    serving: bool = False,
    instances: Sequence[Instance] | None = None,
    start_token: str = "",
) -> AsyncIterator[Services]:
    """Everything the process needs, opened; closed in reverse order on leaving.

    Args:
        settings: Of the process.
        serving: Work in the background as well: ingestions, abandoned answers, outdated documents.
        instances: Take the place of the model servers that the settings name.
        start_token: Stands for the operator until the process ends.

    Raises:
        FolderBusy: Another process uses the data folder.
        StorageUnavailable, StorageFull: The database cannot be opened.
        EmbedderUnavailable: No such embedding model.
    """
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        stack.enter_context(hold(settings.data.dir))
        engine = await open_sql(stack, settings)
        secret = secret_of(settings)
        keys = CachedKeys(SqlKeys(engine, clock, pepper=secret), clock)
        metrics = Metrics()
        model = _open_embedder(stack, settings, clock)
        embedder = CachedEmbedder(model, size=settings.embedding.cache_size)
        dense, lexical = _open_indexes(stack, settings, embedder)
        catalogue = SqlCatalogue(engine, clock)
        ingestion = _open_ingestion(
            stack, settings, clock, engine, catalogue, model, (dense, lexical), metrics
        )
        background = Background()
        pool, operator = await open_pool(stack, settings, clock, instances, background, metrics.retried)
        process = secrets.token_hex(16)
        history = SqlHistory(engine, clock, process=process)
        stack.push_async_callback(history.close)
        runs, producer = _read_path(
            settings, clock, embedder, (dense, lexical), pool, history, catalogue, metrics
        )
        stack.push_async_callback(background.close)
        stack.push_async_callback(runs.openings.close)
        stack.push_async_callback(producer.close, 0)
        await _warm(embedder)
        if serving:
            language.load()
            await _be_present(stack, settings, clock, engine, history, process, background)
            background.start(ingestion.run_worker(), name="ingest worker")
            background.start(producer.sweep(), name="abandoned generations")
            background.start(_renew(keys, catalogue, ingestion), name="outdated documents")
        yield Services(
            settings=settings,
            runs=runs,
            history=history,
            catalogue=catalogue,
            ingestion=ingestion,
            pool=pool,
            operator=operator,
            keys=keys,
            identity=_identity(settings, keys, clock, secret, start_token),
            metrics=metrics,
            checks=health_checks(
                engine, model, dense, lexical, pool, CorpusRef(LOCAL_TENANT, DEFAULT_CORPUS)
            ),
            drain=producer.close,
        )


async def _be_present(
    stack: AsyncExitStack,
    settings: Settings,
    clock: Clock,
    engine: AsyncEngine,
    history: History,
    process: str,
    background: Background,
) -> None:
    alone = not settings.data.database_url  # the folder is locked
    presence = Presence(engine, clock, history, process=process, alone=alone)
    await presence.sign()
    background.start(presence.run(), name="sign of life")


def _identity(settings: Settings, keys: KeyStore, clock: Clock, secret: bytes, start_token: str) -> Identity:
    cookies = Cookies(clock, secret=secret, ttl_s=settings.auth.cookie_ttl_s)
    api_key = settings.auth.api_key.get_secret_value()
    return Identity(
        keys, cookies, api_key=api_key, secret=secret, tenant=LOCAL_TENANT, start_token=start_token
    )


def _open_embedder(stack: AsyncExitStack, settings: Settings, clock: Clock) -> BatchingEmbedder:
    section = settings.embedding
    try:
        model = find(section.model, section.precision)
    except EmbedderUnavailable as exc:
        raise EmbedderUnavailable(f"{variable('embedding', 'model')}: {exc.message}") from exc
    load = partial(_load_encoder, settings, model)
    embedder = BatchingEmbedder(
        model, load, clock=clock, batch_size=section.batch_size, queue_limit=section.queue_limit
    )
    stack.callback(embedder.close)
    return embedder


def _load_encoder(settings: Settings, model: Model) -> Encoder:
    models_dir = settings.models_dir
    folder = local_folder(model, from_hub)
    if settings.embedding.runtime == "torch":
        from backend.embedding.local_torch import TorchEncoder  # noqa: PLC0415  three seconds and 500 MB

        return TorchEncoder(model, folder, threads=settings.embedding.threads)
    return OnnxEncoder(model, folder, models_dir, threads=settings.embedding.threads)


def _open_indexes(
    stack: AsyncExitStack, settings: Settings, embedder: Embedder
) -> tuple[DenseIndex, LexicalIndex]:
    dense = ChromaIndex(settings.data.dir / "chroma", embedder.id)
    stack.callback(dense.close)
    lexical = TantivyIndex(settings.data.dir / "lexical", title_boost=settings.retrieval.title_boost)
    stack.callback(lexical.close)
    return dense, lexical


def _open_ingestion(
    stack: AsyncExitStack,
    settings: Settings,
    clock: Clock,
    engine: AsyncEngine,
    catalogue: SqlCatalogue,
    embedder: Embedder,
    indexes: tuple[DenseIndex, LexicalIndex],
    metrics: Metrics,
) -> Ingestion:
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
    worker = Worker(
        catalogue=catalogue,
        jobs=jobs,
        leases=SqlLeases(engine, clock, alone=not settings.data.database_url),  # the folder is locked
        pipeline=Pipeline(
            jobs,
            preparer,
            Publisher(catalogue, jobs, embedder, *indexes),
            metrics,
            clock,
            section.batch_passages,
        ),
        derivation=Derivation(catalogue, jobs, embedder, *indexes, clock),
        clock=clock,
        pace=Pace(section.lease_s, section.poll_s, section.retry_s, section.grace_s, section.keep_s),
    )
    bounds = Bounds(section.queued_items, section.queued_bytes, section.max_file_bytes)
    return Ingestion(catalogue, jobs, worker, made_by, metrics, bounds)


def _read_path(
    settings: Settings,
    clock: Clock,
    embedder: Embedder,
    indexes: tuple[DenseIndex, LexicalIndex],
    pool: Pool,
    history: History,
    catalogue: Catalogue,
    metrics: Metrics,
) -> tuple[Runs, BackgroundProducer]:
    calibration = calibration_for(embedder.id, settings.data.dir / CALIBRATIONS)
    dense, lexical = indexes
    retriever = HybridRetriever(
        embedder=embedder,
        dense=dense,
        lexical=lexical,
        catalogue=catalogue,
        gate=calibration.gate,
        settings=settings.retrieval,
        clock=clock,
    )
    generations = MemoryLog(
        clock,
        abandon_after_s=settings.chat.abandon_after_s,
        retention_s=settings.chat.retention_s,
        max_live=settings.chat.max_live,
        max_log_bytes=settings.chat.max_log_bytes,
    )
    producer = BackgroundProducer(
        answerer=Answerer(
            retriever=retriever,
            pool=pool,
            fallback=ExtractiveEngine(
                partial(_nearness, embedder),
                by_words=calibration.by_words,
                by_meaning=calibration.by_meaning,
            ),
            generations=generations,
            metrics=metrics,
            clock=clock,
            count=partial(_prompt_tokens, embedder),
            chat=settings.chat,
            engine=settings.engine,
            passage_tokens=settings.retrieval.budget_tokens,
        ),
        generations=generations,
        history=history,
        metrics=metrics,
        clock=clock,
    )
    runs = Runs(
        store=MemoryRuns(clock, retention_s=settings.chat.retention_s + settings.chat.deadline_s),
        producer=producer,
        generations=generations,
        history=history,
        openings=Openings(history),
        catalogue=catalogue,
        pool=pool,
        metrics=metrics,
        clock=clock,
        detect=language.detect,
        chat=settings.chat,
        default_model=settings.engine.model,
        settings_in_key=(
            embedder.id,
            settings.retrieval.model_dump_json(),
            settings.engine.backend,
            str(calibration),
        ),
    )
    return runs, producer


def _prompt_tokens(embedder: Embedder, text: str) -> int:
    """Tokens for a model server, from above: the embedder counts a long run without blanks as one."""
    return max(embedder.count_tokens(text), len(text) // _CHARS_PER_TOKEN)


async def _nearness(embedder: Embedder, question: str, sentences: Sequence[str]) -> NDArray[np.float32]:
    """Cosine of each sentence with the question, float32[n]."""
    rows, asked = await asyncio.gather(embedder.embed_passages(sentences), embedder.embed_queries([question]))
    nearness: NDArray[np.float32] = rows @ asked[0]
    return nearness


async def _renew(keys: KeyStore, catalogue: Catalogue, ingestion: Ingestion) -> None:
    """Queue documents that another parser, chunking or embedder made."""
    for corpus in await all_corpora(keys, catalogue):
        await ingestion.reingest(corpus)


async def _warm(embedder: Embedder) -> None:
    with suppress(LibriError):  # said by the embedder's check, and at the first question
        await embedder.embed_queries(["warm"])
