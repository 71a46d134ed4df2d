"""Logs in this process: embedded shape, and tests."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from math import inf
from uuid import uuid4

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
from backend.generations.mirror import Mirror
from backend.generations.packed import BYTES_PER_ENTRY

LOG_BYTES = 1200
"""What a log costs beside its entries and its record, its place among the others included; measured."""
_TERMINAL = (Done, Failed)
_RUN_BYTES = 150
"""A run that follows: its id in two tables."""


@dataclass(slots=True, eq=False)
class _Log(Mirror):
    """One generation.

    Attributes:
        record: Kept until the end: nobody goes on from what has ended.
        renewed: When its writer last said that it lives.
    """

    key: str | None = None
    record: bytes = b""
    renewed: float = 0.0
    stopping: bool = False
    prepared: Terminal | None = None
    runs: dict[str, None] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        runs = len(self.runs) + len(self.left)
        return LOG_BYTES + len(self.record) + self.events.size_bytes + _RUN_BYTES * runs


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
        log = _Log(
            GenerationId(uuid4().hex), now, [1], [0],
            key=key, record=encode_record(record), renewed=now, runs={run: None},
        )  # fmt: skip
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
        log.begin_fence(log.fences[-1] + 1)
        log.renewed = self.clock.monotonic()
        writer = _Writer(self, log, log.fences[-1])
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
        async with aclosing(log.follow(log.number_behind(after), self.clock, run=run, idle_s=idle_s)) as seen:
            async for batch in seen:
                yield batch

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
        log.record, log.prepared = b"", None
        log.end()
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

    @property
    def can_release(self) -> bool:
        """See `Writer`: there is no other process."""
        return False

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
        last = log.put(packed)
        self.logs.wrote(more_bytes)
        log.show(len(log.events))
        if ends:
            self.logs.end(log)
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
        if self.log.fences[-1] != self.fence:
            raise Superseded("another process goes on with this answer")
        return self.log
