"""From a question to the events of its answer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import orjson

from backend.calibration.base import Calibration
from backend.calibration.files import CALIBRATIONS, calibration_for
from backend.chat.answer import Answerer
from backend.chat.base import RunStore
from backend.chat.grounding import Grounding
from backend.chat.openings import Openings
from backend.chat.outbox import Outbox
from backend.chat.producer import BackgroundProducer
from backend.chat.runs import Runs
from backend.chat.turns import Turns
from backend.config import Settings
from backend.core.clock import Clock
from backend.corpus.base import Catalogue
from backend.embedding.base import Embedder
from backend.embedding.measures import nearness, prompt_tokens
from backend.engines.extractive import ExtractiveEngine
from backend.generations.base import GenerationLog
from backend.history.base import History
from backend.infra import language
from backend.pool.base import Pool
from backend.retrieval.base import DenseIndex, LexicalIndex
from backend.retrieval.search import HybridRetriever
from backend.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Stores:
    """What outlives a request."""

    history: History
    catalogue: Catalogue
    runs: RunStore
    generations: GenerationLog


def read_path(
    settings: Settings,
    clock: Clock,
    search: tuple[Embedder, DenseIndex, LexicalIndex],
    pool: Pool,
    stores: Stores,
    metrics: Metrics,
) -> tuple[Runs, BackgroundProducer]:
    """Readers' requests, and what produces their answers."""
    embedder, dense, lexical = search
    calibration = calibration_for(embedder.id, settings.data.dir / CALIBRATIONS)
    settings = settings.model_copy(update={"retrieval": calibration.fusion.under(settings.retrieval)})
    history, catalogue, generations = stores.history, stores.catalogue, stores.generations
    retriever = HybridRetriever(
        embedder=embedder,
        dense=dense,
        lexical=lexical,
        catalogue=catalogue,
        gate=calibration.gate,
        settings=settings.retrieval,
        clock=clock,
    )
    grounding = Grounding(
        retriever=retriever,
        pool=pool,
        metrics=metrics,
        clock=clock,
        count=partial(prompt_tokens, embedder),
        passage_tokens=settings.retrieval.budget_tokens,
        history_tokens=settings.chat.history_tokens,
        doubt_threshold=settings.retrieval.doubt_threshold,
    )
    outbox = Outbox()
    turns = Turns(history=history, generations=generations, outbox=outbox)
    producer = BackgroundProducer(
        answerer=Answerer(
            grounding=grounding,
            pool=pool,
            fallback=ExtractiveEngine(
                partial(nearness, embedder, within_s=settings.retrieval.index_timeout_s),
                by_words=calibration.by_words,
                by_meaning=calibration.by_meaning,
            ),
            clock=clock,
            engine=settings.engine,
        ),
        turns=turns,
        generations=generations,
        metrics=metrics,
        clock=clock,
    )
    runs = Runs(
        store=stores.runs,
        producer=producer,
        generations=generations,
        history=history,
        openings=Openings(history, outbox),
        turns=turns,
        catalogue=catalogue,
        pool=pool,
        metrics=metrics,
        clock=clock,
        detect=language.detect,
        chat=settings.chat,
        default_model=settings.engine.model,
        retrieval=retrieval_of(embedder.id, settings, calibration),
        context_tokens=settings.engine.context_tokens,
    )
    return runs, producer


def retrieval_of(embedder: str, settings: Settings, calibration: Calibration) -> str:
    """All of the search that an answer depends on; the same in every process that would answer alike."""
    search = settings.retrieval.model_dump(exclude={"index_timeout_s", "concurrency"})
    parts = [embedder, search, settings.engine.backend, calibration]
    return orjson.dumps(parts, option=orjson.OPT_SORT_KEYS).decode()
