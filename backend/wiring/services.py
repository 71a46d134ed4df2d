"""The api role: everything a process needs that answers readers; opened in order, closed in reverse."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from secrets import token_hex

from sqlalchemy.ext.asyncio import AsyncEngine

from backend.chat.turns import CLOSING_S
from backend.config import Settings
from backend.core.aio import Background
from backend.core.clock import Clock, SystemClock
from backend.core.loops import SHORT_PAUSE_S, Loops
from backend.core.remembered import Remembered
from backend.core.types import DEFAULT_CORPUS
from backend.corpus.base import CorpusRef
from backend.corpus.sql import SqlCatalogue
from backend.embedding.cached import CachedEmbedder
from backend.generations.redis import RedisLog
from backend.health import health_checks, log_check
from backend.history.base import History
from backend.history.presence import Presence
from backend.history.sql import SqlHistory
from backend.infra import language
from backend.pool.base import Instance
from backend.security.base import KeyStore
from backend.security.cached import CachedKeys
from backend.security.cookies import Cookies
from backend.security.identity import Identity
from backend.security.server_secret import ServerSecret
from backend.security.sql import SqlKeys
from backend.services import Services, checked
from backend.telemetry.metrics import Metrics
from backend.wiring.corpora import LOCAL_TENANT as LOCAL_TENANT
from backend.wiring.embedder import open_embedder, warm
from backend.wiring.folder import data_folder
from backend.wiring.generations import open_generations
from backend.wiring.indexes import open_indexes
from backend.wiring.pool import open_pool
from backend.wiring.read_path import Stores, read_path
from backend.wiring.redis import open_shared_redis
from backend.wiring.runs import open_runs
from backend.wiring.secret import former_peppers, open_secret
from backend.wiring.sql import open_sql
from backend.wiring.write_path import open_follower, open_ingestion, queue_outdated

_READINESS_S = 1.0


@asynccontextmanager
async def open_services(
    settings: Settings,
    *,
    serving: bool = False,
    instances: Sequence[Instance] | None = None,
    start_token: str = "",
    metrics: Metrics | None = None,
) -> AsyncIterator[Services]:
    """Everything the process needs, opened; closed in reverse order on leaving.

    Args:
        settings: Of the process.
        serving: Be one of the processes that share model servers, and work in the background as well:
            ingestions, abandoned answers, outdated documents. A command that only visits has a pool of its
            own: what the others share knows nothing of it.
        instances: Take the place of the model servers that the settings name.
        start_token: Stands for the operator until the process ends.
        metrics: What counts; None: metrics of its own.

    Raises:
        FolderBusy: Another process uses the data folder.
        StorageUnavailable, StorageFull: The database cannot be opened.
        EmbedderUnavailable: No such embedding model.
    """
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        stack.enter_context(data_folder(settings))
        engine = await open_sql(stack, settings)
        secret = await open_secret(settings, engine, clock)
        keys = CachedKeys(SqlKeys(engine, clock, peppers=await former_peppers(settings, engine)), clock)
        metrics = metrics or Metrics()
        model = await open_embedder(stack, settings, clock)
        embedder = CachedEmbedder(model, size=settings.embedding.cache_size)
        dense, lexical = await open_indexes(stack, settings, embedder)
        catalogue = SqlCatalogue(engine, clock)
        ingestion = open_ingestion(
            stack, settings, clock, engine, catalogue, model, (dense, lexical), metrics
        )
        background = Background()
        loops = Loops(background, clock, failed=metrics.loop_failed)
        redis = await open_shared_redis(stack, settings) if serving else None
        pool, operator = await open_pool(
            stack, settings, clock, instances, loops, metrics.retried, redis=redis, secret=secret
        )
        process = token_hex(16)
        history = SqlHistory(engine, clock, process=process)
        stack.push_async_callback(history.close)
        generations = open_generations(stack, redis, settings, clock, loops, metrics)
        stores = Stores(history, catalogue, await open_runs(redis, settings.chat, clock, loops), generations)
        runs, producer = read_path(settings, clock, (embedder, dense, lexical), pool, stores, metrics)
        stack.push_async_callback(background.close)
        stack.push_async_callback(runs.openings.outbox.close, CLOSING_S)
        stack.push_async_callback(producer.close, 0)
        await warm(embedder)
        if serving:
            language.load()
            await _be_present(settings, clock, engine, history, process, loops)
            loops.start(ingestion.run_worker, name="ingest worker")
            if settings.data.chroma_url:
                follower = open_follower(settings, ingestion.worker.derivation)
                loops.start(follower.run, name="lexical index", longest_pause_s=SHORT_PAUSE_S)
            loops.start(producer.sweep, name="generations", longest_pause_s=SHORT_PAUSE_S)
            loops.start(partial(queue_outdated, keys, catalogue, ingestion), name="outdated documents")
        corpus = CorpusRef(LOCAL_TENANT, DEFAULT_CORPUS)
        checks = health_checks(engine, model, dense, lexical, catalogue, pool, corpus, loops)
        if isinstance(generations, RedisLog):
            checks = {**checks, "log": log_check(generations.is_shared)}
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
            checks=checks,
            readiness=Remembered(partial(checked, checks), clock, fresh_s=_READINESS_S),
            drain=producer.close,
        )


async def _be_present(
    settings: Settings, clock: Clock, engine: AsyncEngine, history: History, process: str, loops: Loops
) -> None:
    alone = not settings.data.database_url  # the folder is locked
    presence = Presence(engine, clock, history, process=process, alone=alone)
    await presence.sign()
    loops.start(presence.run, name="sign of life", longest_pause_s=SHORT_PAUSE_S)


def _identity(
    settings: Settings, keys: KeyStore, clock: Clock, secret: ServerSecret, start_token: str
) -> Identity:
    cookies = Cookies(clock, secret=secret, ttl_s=settings.auth.cookie_ttl_s)
    api_key = settings.auth.api_key.get_secret_value()
    return Identity(
        keys, cookies, api_key=api_key, secret=secret, tenant=LOCAL_TENANT, start_token=start_token
    )
