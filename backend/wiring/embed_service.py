"""The embed role: one model before many callers, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from backend.config import Settings
from backend.core.clock import SystemClock
from backend.embedding.desk import Desk
from backend.embedding.room import Room
from backend.telemetry.embedding import EmbeddingMetrics
from backend.wiring.local_embedder import find_model, open_local, open_ranking


@asynccontextmanager
async def open_room(settings: Settings) -> AsyncIterator[Room]:
    """The models, loaded. They are this process's own, whatever service the settings name.

    Raises:
        EmbedderUnavailable: There is no such model, or it does not load.
        Misconfigured: What runs it is not installed.
    """
    section = settings.embedding
    async with AsyncExitStack() as stack:
        embedder = open_local(stack, settings, SystemClock())
        ranking = open_ranking(stack, settings)
        await embedder.warm()
        if ranking is not None:
            await ranking.scores("warm", ["warm"])
        key = section.key.get_secret_value()
        yield Room(
            model=find_model(settings),
            desk=Desk(embedder, limit=section.queue_limit, within_s=section.passages_timeout_s),
            metrics=EmbeddingMetrics(),
            keys=(key,) if key else (),
            scraper_key=settings.auth.metrics_token.get_secret_value(),
            ranking=ranking,
        )
