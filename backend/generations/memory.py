"""Logs in this process: embedded shape, and tests."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from math import inf
from uuid import uuid4

from backend.core.aio import Elapsed, Limit
from backend.core.clock import Clock
from backend.core.errors import Conflict, NotFound, PoolFull, Superseded, TooLarge
from backend.core.events import Done, Failed, LogEvent, Origin, Terminal
from backend.generations.base import (
    START,
    Entry,
    EntryId,
    GenerationId,
    Joined,
    PreparedEnd,
    RequestRecord,
    TakenOver,
    Word,
)
from backend.generations.codec import decode_record, encode, encode_record
from backend.generations.packed import BYTES_PER_ENTRY, PackedEvents

LOG_BYTES = 1200
"""What a log costs beside its entries and its record, its place among the others included; measured."""
_TERMINAL = (Done, Failed)
_RUN_BYTES = 150
"""A run that follows: its id in two tables."""


@dataclass(slots=True, eq=False)
class _Log:
    """One generation.

    Attributes:
        fences: How many entries there were when each fence began.
        record: Kept until the end: nobody goes on from what has ended.
        touched: When a follower left last; `renewed`: when its writer last said that it lives.
        latest: The entry that came last, while more may come: who follows closely need not unpack it.
        left: Runs that left, and how many entries each of them has seen.
    """

    id: GenerationId
    key: str | None
    record: bytes
    touched: float
    renewed: float
    events: PackedEvents = field(default_factory=PackedEvents)
    fences: list[int] = field(default_factory=lambda: [0])
    stopping: bool = False
    prepared: Terminal | None = None
    ended: bool = False
    latest: list[Entry] = field(default_factory=list)
    runs: dict[str, None] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    followers: int = 0
    waiters: set[asyncio.Future[None]] = field(default_factory=set)

    @property
    def size_bytes(self) -> int:
        runs = len(self.runs) + len(self.left)
        return LOG_BYTES + len(self.record) + self.events.size_bytes + _RUN_BYTES * runs

    def wake(self) -> None:
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)
        self.waiters.clear()

    def id_of(self, number: int) -> EntryId:
        fence = bisect_right(self.fences, number) if len(self.fences) > 1 else 1
        return EntryId(fence, number - self.fences[fence - 1] + 1)

    def append(self, packed: Sequence[tuple[LogEvent, bytes]]) -> EntryId:
        for event, data in packed:
            self.events.append(event.name, data)
        last = Entry(self.id_of(len(self.events) - 1), event)
        self.latest = [last]
        return last.id

    def entries(self, start: int, until: int) -> list[Entry]:
        if until - start == 1 and until == len(self.events) and self.latest:
            return self.latest
        return [Entry(self.id_of(number), event) for number, event in self.events.merged(start, until)]

    def every_entry(self) -> list[Entry]:
        return [Entry(self.id_of(number), self.events.event(number)) for number in range(len(self.events))]

    def number_behind(self, entry: EntryId) -> int:
        """The number of the entry that comes behind `entry`.

        Raises:
            NotFound: There never was such an entry.
        """
        if entry == START:
            return 0
        if 0 < entry.fence <= len(self.fences) and entry.seq > 0:
            behind = self.fences[entry.fence - 1] + entry.seq
            ends = (*self.fences[1:], len(self.events))
            if behind <= ends[entry.fence - 1]:
                return behind
        raise NotFound("this answer has no such event")


@dataclass(slots=True)
class MemoryLog:
    """All logs of one process; a restart loses them.

    Args:
        abandon_after_s: A live generation nobody follows that long is abandoned.
        lease_s: A writer that has not renewed for that long is dead.
        retention_s: How long an ended log is kept.
        max_live: Most live generations.
        max_log_bytes: Most bytes of one log's entries.
        max_bytes: Most bytes of all logs: the oldest ended ones go first, live ones never; where these alone
            take so much, no new one begins.
    """

    clock: Clock
    abandon_after_s: float = 15.0
    lease_s: float = 5.0
    retention_s: float = 600.0
    max_live: int = 2000
    max_log_bytes: int = 8 * 1024**2
    max_bytes: int = 128 * 1024**2
    _live: dict[GenerationId, _Log] = field(default_factory=dict)
    _ended: OrderedDict[GenerationId, tuple[float, _Log]] = field(default_factory=OrderedDict)
    _keys: dict[str, _Log] = field(default_factory=dict)
    _live_bytes: int = 0
    _ended_bytes: int = 0

    @property
    def size_bytes(self) -> int:
        """Of all logs."""
        return self._live_bytes + self._ended_bytes

    async def begin(self, key: str | None, run: str, record: RequestRecord) -> Joined:
        """See `GenerationLog`."""
        self._forget_old()
        now = self.clock.monotonic()
        if key is not None and (live := self._keys.get(key)) is not None:
            live.runs[run] = None
            live.touched = now
            self._live_bytes += _RUN_BYTES
            return Joined(live.id, None)
        if len(self._live) >= self.max_live or self._live_bytes >= self.max_bytes:
            raise PoolFull("too many answers are in progress", retry_after_s=5)
        log = _Log(GenerationId(uuid4().hex), key, encode_record(record), now, now, runs={run: None})
        self._live[log.id] = log
        self._live_bytes += log.size_bytes
        if key is not None:
            self._keys[key] = log
        return Joined(log.id, _Writer(self, log, 1))

    async def takeover(self, generation: GenerationId) -> TakenOver | None:
        """See `GenerationLog`."""
        log = self._live.get(generation)
        if log is None or not self._has_lapsed(log):
            return None
        log.fences.append(len(log.events))
        log.renewed = self.clock.monotonic()
        writer = _Writer(self, log, len(log.fences))
        return TakenOver(decode_record(log.record), log.every_entry(), writer, log.prepared)

    async def lapsed(self) -> Sequence[GenerationId]:
        """See `GenerationLog`."""
        return [log.id for log in self._live.values() if self._has_lapsed(log)]

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
        seen = log.number_behind(after)
        log.followers += 1
        idle = Limit()
        try:
            while True:
                until = log.left.get(run, len(log.events)) if run else len(log.events)
                if until > seen:
                    batch = log.entries(seen, until)
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

    async def origin(self, generation: GenerationId) -> Origin | None:
        """See `GenerationLog`."""
        log = self._log(generation)
        first = log.events.event(0) if len(log.events) else None
        return first if isinstance(first, Origin) else None

    async def has_ended(self, generation: GenerationId) -> bool:
        """See `GenerationLog`."""
        return self._log(generation).ended

    async def is_end(self, generation: GenerationId, entry: EntryId) -> bool:
        """See `GenerationLog`."""
        log = self._log(generation)
        return log.number_behind(entry) == len(log.events) and log.ended

    async def leave(self, generation: GenerationId, run: str) -> bool:
        """See `GenerationLog`."""
        log = self._log(generation)
        if log.runs.keys() <= {run}:
            log.stopping = True
            self.shut(log)
            return False
        if log.runs.pop(run, run) is None:
            log.left[run] = len(log.events)
            log.wake()
        return True

    async def will_end(self, generation: GenerationId, run: str) -> bool:
        """See `GenerationLog`."""
        log = self._log(generation)
        return log.prepared is None and not log.ended and run in log.runs

    def wrote(self, more_bytes: int) -> None:
        """A live log takes so much more; the oldest ended ones make room."""
        self._live_bytes += more_bytes
        while self._live_bytes + self._ended_bytes > self.max_bytes and self._ended:
            self._forget_oldest()

    def end(self, log: _Log) -> None:
        """Nothing more comes; what only a writer needs is given back."""
        self.shut(log)
        self._live_bytes -= log.size_bytes
        log.ended, log.record, log.prepared = True, b"", None
        log.latest = []
        log.events.trim()
        del self._live[log.id]
        self._ended[log.id] = (self.clock.monotonic(), log)
        self._ended_bytes += log.size_bytes

    def shut(self, log: _Log) -> None:
        """Nobody joins from now on."""
        if log.key is not None and self._keys.get(log.key) is log:
            del self._keys[log.key]

    def _has_lapsed(self, log: _Log) -> bool:
        return log.renewed <= self.clock.monotonic() - self.lease_s

    def _log(self, generation: GenerationId) -> _Log:
        if (live := self._live.get(generation)) is not None:
            return live
        if (ended := self._ended.get(generation)) is not None:
            return ended[1]
        raise NotFound("this answer is no longer kept")

    def _forget_old(self) -> None:
        limit = self.clock.monotonic() - self.retention_s
        while self._ended and next(iter(self._ended.values()))[0] <= limit:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        _, (_, log) = self._ended.popitem(last=False)
        self._ended_bytes -= log.size_bytes


@dataclass(frozen=True, slots=True)
class _Writer:
    """The writer of one fence."""

    logs: MemoryLog
    log: _Log
    fence: int

    @property
    def generation(self) -> GenerationId:
        """See `Writer`."""
        return self.log.id

    async def append(self, events: Sequence[LogEvent]) -> EntryId:
        """See `Writer`."""
        log = self._fenced()
        ends = isinstance(events[-1], _TERMINAL)
        if log.ended or (log.prepared is not None and not ends):
            raise Conflict("the generation has ended")
        packed = [(event, encode(event)) for event in events]
        more_bytes = sum([len(data) + BYTES_PER_ENTRY for _, data in packed])
        if log.events.size_bytes + more_bytes > self.logs.max_log_bytes and not ends:
            raise TooLarge("the answer is too long")
        last = log.append(packed)
        self.logs.wrote(more_bytes)
        if ends:
            self.logs.end(log)
        log.wake()
        return last

    async def note(self, record: RequestRecord) -> None:
        """See `Writer`."""
        log = self._fenced()
        before, log.record = len(log.record), encode_record(record)
        self.logs.wrote(len(log.record) - before)

    async def prepare_end(self, terminal: Terminal) -> PreparedEnd:
        """See `Writer`."""
        log = self._fenced()
        log.prepared = log.prepared or terminal
        self.logs.shut(log)
        return PreparedEnd(log.prepared, tuple(log.runs))

    async def renew(self) -> Word:
        """See `Writer`."""
        log, now = self._fenced(), self.logs.clock.monotonic()
        log.renewed = now
        if log.stopping:
            return Word.STOP
        if log.followers or log.touched > now - self.logs.abandon_after_s:
            return Word.GO_ON
        self.logs.shut(log)
        return Word.ABANDONED

    async def release(self) -> None:
        """See `Writer`."""
        self._fenced().renewed = -inf

    def _fenced(self) -> _Log:
        if len(self.log.fences) != self.fence:
            raise Superseded("another process goes on with this answer")
        return self.log


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
