"""Logs in this process: embedded shape, and tests."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from backend.core.aio import Elapsed, Limit
from backend.core.clock import Clock
from backend.core.errors import Conflict, NotFound, PoolFull, TooLarge
from backend.core.events import Delta, Done, Failed, LogEvent, Replace, Thinking
from backend.generations.base import START, Entry, EntryId, GenerationId, Joined

FENCE = 1
_ENTRY_BYTES = 64
"""What an entry weighs besides its text; a bound, not a measurement."""


@dataclass(slots=True, eq=False)
class _Log:
    key: str | None
    touched: float
    entries: list[Entry] = field(default_factory=list)
    size_bytes: int = 0
    closed: bool = False
    ended: bool = False
    runs: dict[str, None] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    followers: int = 0
    waiters: set[asyncio.Future[None]] = field(default_factory=set)

    def wake(self) -> None:
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)
        self.waiters.clear()


@dataclass(slots=True)
class MemoryLog:
    """All logs of one process; a restart loses them.

    Args:
        abandon_after_s: A live generation nobody follows that long is abandoned.
        retention_s: How long an ended log is kept.
        max_live: Most live generations.
        max_log_bytes: Most text of one log, in UTF-8 bytes, a bound on memory.
    """

    clock: Clock
    abandon_after_s: float = 15.0
    retention_s: float = 600.0
    max_live: int = 2000
    max_log_bytes: int = 8 * 1024**2
    _logs: dict[GenerationId, _Log] = field(default_factory=dict)
    _keys: dict[str, GenerationId] = field(default_factory=dict)
    _ended: deque[tuple[float, GenerationId]] = field(default_factory=deque)

    async def start_or_join(self, key: str | None) -> Joined:
        """See `GenerationLog`."""
        self._forget_old()
        if key is not None and (live := self._keys.get(key)) is not None:
            return Joined(live, began=False)
        if len(self._logs) - len(self._ended) >= self.max_live:
            raise PoolFull("too many answers are in progress", retry_after_s=5)
        generation = GenerationId(uuid4().hex)
        self._logs[generation] = _Log(key, self.clock.monotonic())
        if key is not None:
            self._keys[key] = generation
        return Joined(generation, began=True)

    async def append(self, generation: GenerationId, events: Sequence[LogEvent]) -> EntryId:
        """See `GenerationLog`.

        Raises:
            TooLarge: The log would pass its bound; a terminal event is still accepted.
        """
        log = self._log(generation)
        if log.ended:
            raise Conflict("the generation has ended")
        size_bytes = log.size_bytes
        for event in events:
            size_bytes += _size(event)
        ends = isinstance(events[-1], (Done, Failed))
        if size_bytes > self.max_log_bytes and not ends:
            raise TooLarge("the answer is too long")
        log.size_bytes = size_bytes
        for event in events:
            log.entries.append(Entry(EntryId(FENCE, len(log.entries) + 1), event))
        if ends:
            self._end(generation, log)
        log.wake()
        return log.entries[-1].id

    async def follow(
        self,
        generation: GenerationId,
        after: EntryId = START,
        *,
        run: str | None = None,
        idle_s: float = 10.0,
    ) -> AsyncGenerator[Sequence[Entry], None]:
        """See `GenerationLog`."""
        log = self._log(generation)
        _check(log, after)
        seen = after.seq
        log.followers += 1
        idle = Limit()
        try:
            while True:
                until = log.left.get(run, len(log.entries)) if run else len(log.entries)
                if until > seen:
                    batch = log.entries[seen:until]
                    seen = until
                    yield batch
                elif log.ended or run in log.left:
                    return
                elif not await _changed(log, idle, idle_s):
                    yield ()
        finally:
            idle.close()
            log.followers -= 1
            log.touched = self.clock.monotonic()

    async def has_ended(self, generation: GenerationId) -> bool:
        """See `GenerationLog`."""
        return self._log(generation).ended

    async def is_end(self, generation: GenerationId, entry: EntryId) -> bool:
        """See `GenerationLog`."""
        log = self._log(generation)
        _check(log, entry)
        return log.ended and log.entries[-1].id == entry

    async def attach(self, generation: GenerationId, run: str) -> None:
        """See `GenerationLog`."""
        log = self._log(generation)
        log.runs[run] = None
        log.touched = self.clock.monotonic()

    async def leave(self, generation: GenerationId, run: str) -> bool:
        """See `GenerationLog`."""
        log = self._log(generation)
        if log.runs.keys() <= {run}:
            self._close_to_others(generation, log)
            return False
        if log.runs.pop(run, run) is None:
            log.left[run] = len(log.entries)
            log.wake()
        return True

    async def close_to_others(self, generation: GenerationId) -> None:
        """See `GenerationLog`."""
        self._close_to_others(generation, self._log(generation))

    async def is_open(self, generation: GenerationId) -> bool:
        """See `GenerationLog`."""
        return not self._log(generation).closed

    async def runs(self, generation: GenerationId) -> Sequence[str]:
        """See `GenerationLog`."""
        return tuple(self._log(generation).runs)

    async def abandoned(self) -> Sequence[GenerationId]:
        """See `GenerationLog`."""
        limit = self.clock.monotonic() - self.abandon_after_s
        return [
            generation
            for generation, log in self._logs.items()
            if not log.ended and not log.followers and log.touched <= limit
        ]

    def _log(self, generation: GenerationId) -> _Log:
        if (log := self._logs.get(generation)) is None:
            raise NotFound("this answer is no longer kept")
        return log

    def _end(self, generation: GenerationId, log: _Log) -> None:
        log.ended = True
        self._ended.append((self.clock.monotonic(), generation))
        self._close_to_others(generation, log)

    def _close_to_others(self, generation: GenerationId, log: _Log) -> None:
        log.closed = True
        if log.key is not None and self._keys.get(log.key) == generation:
            del self._keys[log.key]

    def _forget_old(self) -> None:
        limit = self.clock.monotonic() - self.retention_s
        while self._ended and self._ended[0][0] <= limit:
            del self._logs[self._ended.popleft()[1]]


def _check(log: _Log, entry: EntryId) -> None:
    if entry != START and (entry.fence != FENCE or not 0 < entry.seq <= len(log.entries)):
        raise NotFound("this answer has no such event")


def _size(event: LogEvent) -> int:
    text = event.text if isinstance(event, (Delta, Thinking, Replace)) else ""
    return _ENTRY_BYTES + len(text.encode())


async def _changed(log: _Log, idle: Limit, idle_s: float) -> bool:
    """Wait for the next wake-up; False when none came within `idle_s`."""
    waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    log.waiters.add(waiter)
    try:
        await idle.within(idle_s, waiter)
    except Elapsed:
        return False
    finally:
        log.waiters.discard(waiter)
    return True
