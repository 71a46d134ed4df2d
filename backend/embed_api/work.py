"""Work for a caller who may go away, and its measure."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request

from backend.core.errors import LibriError
from backend.telemetry.embedding import EmbeddingMetrics

T = TypeVar("T")


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T | None:
    """The result of `work`; None, and it is cancelled, if the caller goes away first."""
    gone = asyncio.ensure_future(_gone(request))
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({gone, task}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        for one in (gone, task):
            one.cancel()
        await asyncio.gather(gone, task, return_exceptions=True)


async def measured(metrics: EmbeddingMetrics, lane: str, texts: int, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, counted by how it ended."""
    began = time.perf_counter()
    try:
        done = await work
    except LibriError as exc:
        metrics.ended(lane, exc.code)
        raise
    except asyncio.CancelledError:
        metrics.ended(lane, "left")
        raise
    metrics.done(lane, texts, time.perf_counter() - began)
    return done


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
