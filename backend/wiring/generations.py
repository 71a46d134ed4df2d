"""The logs of generations: of this process alone, or shared through Redis."""

from __future__ import annotations

from contextlib import AsyncExitStack

from backend.config import Settings, named
from backend.core.clock import Clock
from backend.core.errors import Misconfigured
from backend.core.loops import SHORT_PAUSE_S, Loops
from backend.generations.memory import MemoryLog
from backend.generations.redis import Limits, RedisLog
from backend.infra.redis import open_redis
from backend.telemetry.metrics import Metrics


async def open_generations(
    stack: AsyncExitStack, settings: Settings, clock: Clock, loops: Loops, metrics: Metrics
) -> MemoryLog | RedisLog:
    """The logs, closed with `stack`. A Redis that is away now is used once it is there."""
    section, chat = settings.redis, settings.chat
    if not (url := section.url.get_secret_value()):
        return MemoryLog(
            clock,
            abandon_after_s=chat.abandon_after_s,
            retention_s=chat.retention_s,
            max_live=chat.max_live,
            max_log_bytes=chat.max_log_bytes,
            max_bytes=chat.max_logs_bytes,
        )
    try:
        redis = await stack.enter_async_context(open_redis(url, timeout_s=section.timeout_s))
    except Misconfigured as exc:
        raise Misconfigured(f"{named('redis', 'url', section.url)} {exc.message}") from exc
    limits = Limits(
        abandon_after_s=chat.abandon_after_s,
        retention_s=chat.retention_s,
        max_live=chat.max_live,
        max_log_bytes=chat.max_log_bytes,
        ack_s=section.ack_s,
        answer_s=section.timeout_s,
    )
    shared = RedisLog(redis, clock, limits, acknowledged=metrics.log_acknowledged)
    stack.push_async_callback(shared.close)
    loops.start(shared.listen, name="log: what is new", longest_pause_s=SHORT_PAUSE_S)
    loops.start(shared.run, name="log: what Redis lacks", longest_pause_s=SHORT_PAUSE_S)
    return shared
