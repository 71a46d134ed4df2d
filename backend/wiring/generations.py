"""The logs of generations: of this process alone, or shared through Redis."""

from __future__ import annotations

from contextlib import AsyncExitStack

from backend.config import Settings
from backend.core.clock import Clock
from backend.core.loops import SHORT_PAUSE_S, Loops
from backend.generations.memory import MemoryLog
from backend.generations.redis import Limits, RedisLog
from backend.telemetry.metrics import Metrics
from backend.wiring.redis import SharedRedis


def open_generations(
    stack: AsyncExitStack,
    redis: SharedRedis | None,
    settings: Settings,
    clock: Clock,
    loops: Loops,
    metrics: Metrics,
) -> MemoryLog | RedisLog:
    """The logs, closed with `stack`. A Redis that is away now is used once it is there."""
    chat = settings.chat
    if redis is None:
        return MemoryLog(
            clock,
            abandon_after_s=chat.abandon_after_s,
            retention_s=chat.retention_s,
            max_live=chat.max_live,
            max_log_bytes=chat.max_log_bytes,
            max_bytes=chat.max_logs_bytes,
        )
    limits = Limits(
        abandon_after_s=chat.abandon_after_s,
        retention_s=chat.retention_s,
        max_live=chat.max_live,
        max_log_bytes=chat.max_log_bytes,
        ack_s=settings.redis.ack_s,
    )
    shared = RedisLog(redis.commands, clock, limits, acknowledged=metrics.log_acknowledged)
    stack.push_async_callback(shared.close)
    loops.start(shared.listen, name="log: what is new", longest_pause_s=SHORT_PAUSE_S)
    loops.start(shared.run, name="log: what Redis lacks", longest_pause_s=SHORT_PAUSE_S)
    return shared
