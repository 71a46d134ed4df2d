"""Where runs are kept: in this process, or where all processes find them."""

from __future__ import annotations

from backend.chat.base import RunStore
from backend.chat.memory import MemoryRuns
from backend.chat.redis import RedisRuns
from backend.config import Chat
from backend.core.clock import Clock
from backend.core.loops import SHORT_PAUSE_S, Loops
from backend.wiring.redis import SharedRedis


async def open_runs(redis: SharedRedis | None, chat: Chat, clock: Clock, loops: Loops) -> RunStore:
    """Runs, for as long as their generation's log may be kept."""
    own = MemoryRuns(clock, retention_s=chat.retention_s + chat.deadline_s)
    if redis is None:
        return own
    shared = RedisRuns(redis.commands, own)
    await shared.beat()
    loops.start(shared.live, name="runs: signs of life", longest_pause_s=SHORT_PAUSE_S)
    return shared
