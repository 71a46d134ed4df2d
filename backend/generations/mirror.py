"""The entries of one generation as this process has them, and all who follow it here.

A follower is an index: however slow it is, it keeps nothing; however many there are, the log is read once.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Final

from backend.core.aio import Elapsed, Limit
from backend.core.clock import Clock
from backend.core.errors import LibriError, NotFound
from backend.core.events import LogEvent, Replace
from backend.generations.base import START, Batch, Entry, EntryId, GenerationId
from backend.generations.packed import PackedEvents

_ANEW = (Replace("thinking", "", "another process went on"), Replace("answer", "", "another process went on"))

_NOTHING: Final = (0, 0, Batch())


@dataclass(slots=True, eq=False)
class Mirror:
    """One generation. Entries are numbered from 0; those from `shown` on are not to be seen yet.

    Attributes:
        touched: When a follower left last, or the generation began.
        fences: Every fence, ascending; `starts`: how many entries there were when each began.
        latest: From where to where, and the entries that were added or asked for last: all who follow closely
            get the same object.
        left: Runs that left, and how many entries each of them has seen.
        lost: Why nothing comes any more, though there was no end.
        writings: How often the entries were replaced by others.
    """

    id: GenerationId
    touched: float
    fences: list[int] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    events: PackedEvents = field(default_factory=PackedEvents)
    shown: int = 0
    ended: bool = False
    latest: tuple[int, int, Batch] = _NOTHING
    left: dict[str, int] = field(default_factory=dict)
    lost: LibriError | None = None
    followers: int = 0
    writings: int = 0
    _common: int = 0
    _waiters: set[asyncio.Future[None]] = field(default_factory=set)

    @property
    def last_id(self) -> EntryId:
        """Of the last entry; of a fence that has none yet, its place `<fence>-0`."""
        if not self.fences:
            return START
        return EntryId(self.fences[-1], len(self.events) - self.starts[-1])

    def id_of(self, number: int) -> EntryId:
        """The id of an entry."""
        at = bisect_right(self.starts, number) - 1 if len(self.starts) > 1 else 0
        return EntryId(self.fences[at], number - self.starts[at] + 1)

    def number_behind(self, entry: EntryId) -> int:
        """The number of the entry that comes behind `entry`.

        Raises:
            NotFound: There never was such an entry.
        """
        if entry == START:
            return 0
        if entry.fence in self.fences and entry.seq > 0:
            at = self.fences.index(entry.fence)
            behind = self.starts[at] + entry.seq
            ends = self.starts[at + 1] if at + 1 < len(self.starts) else len(self.events)
            if behind <= ends:
                return behind
        raise NotFound("this answer has no such event")

    def begin_fence(self, fence: int) -> None:
        """What comes from now on is of another writer."""
        self.fences.append(fence)
        self.starts.append(len(self.events))

    def put(self, packed: Sequence[tuple[LogEvent, bytes]]) -> EntryId:
        """Add events, unseen; returns the last one's id."""
        for event, data in packed:
            self.events.append(event.name, data)
        last, many = Entry(self.last_id, event), len(self.events)
        self.latest = many - 1, many, Batch((last,))
        return last.id

    def show(self, until: int) -> None:
        """Let the first `until` entries be seen."""
        if until > self.shown:
            self.shown = until
            self.wake()

    def end(self) -> None:
        """Nothing more comes."""
        self.ended = True
        self.latest = _NOTHING
        self.events.trim()
        self.wake()

    def wake(self) -> None:
        """Let all who wait look again."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    def replace(self, other: Mirror) -> None:
        """Take the entries of `other`, which are those that count; whoever has seen others is told anew."""
        self._common = _alike(self, other)
        self.fences, self.starts, self.events = other.fences, other.starts, other.events
        self.shown, self.ended, self.latest, self.left = len(other.events), other.ended, _NOTHING, {}
        self.writings += 1
        self.wake()

    def every_entry(self) -> list[Entry]:
        """All entries, each by itself."""
        return [Entry(self.id_of(number), self.events.event(number)) for number in range(len(self.events))]

    def entries(self, start: int, until: int) -> Batch:
        """Entries from `start` to `until`, neighbouring text as one."""
        begins, ends, batch = self.latest
        if (begins, ends) != (start, until):
            merged = self.events.merged(start, until)
            batch = Batch([Entry(self.id_of(number), event) for number, event in merged])
            self.latest = start, until, batch
        return batch

    def until(self, run: str | None) -> int:
        """How many entries a follower may see."""
        return min(self.left.get(run, self.shown), self.shown) if run else self.shown

    async def follow(
        self, seen: int, clock: Clock, *, run: str | None, idle_s: float, anew: bool = False
    ) -> AsyncGenerator[Sequence[Entry], None]:
        """See `GenerationLog.follow`; `seen` entries are known, or others in their place: then `anew`."""
        self.followers += 1
        idle, writing = Limit(), self.writings
        try:
            while True:
                if writing != self.writings:
                    anew, writing = anew or seen > self._common, self.writings
                if anew and len(self.events):
                    anew, seen = False, 1  # the origin is told by then
                    yield [Entry(START, event) for event in _ANEW]
                    continue
                until = self.until(run)
                if until > seen:
                    batch = self.entries(seen, until)
                    seen = until
                    yield batch
                elif (self.ended and self.shown == len(self.events)) or run in self.left:
                    return
                elif self.lost is not None:
                    raise self.lost
                elif not await self._changed(idle, idle_s):
                    yield ()
        finally:
            idle.close()
            self.followers -= 1
            self.touched = clock.monotonic()
            if not self.followers:
                self.latest = _NOTHING

    async def _changed(self, idle: Limit, idle_s: float) -> bool:
        """Wait for the next wake-up; False when none came within `idle_s`."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await idle.within(idle_s, waiter)
        except Elapsed:
            return False
        finally:
            self._waiters.discard(waiter)
        return True


def _alike(one: Mirror, other: Mirror) -> int:
    """How many entries at the beginning are the same in both: an id is given out once."""
    same = 0
    for at, fence in enumerate(one.fences):
        if other.fences[at : at + 1] != [fence] or other.starts[at] != one.starts[at]:
            break
        ends = [m.starts[at + 1] if at + 1 < len(m.starts) else len(m.events) for m in (one, other)]
        same = min(ends)
        if ends[0] != ends[1]:
            break
    return same
