"""Logs that all processes share, in Redis: one stream a generation, and a mirror of it where it is in use.

An entry is shown once Redis has it. Where Redis does not take it in time the generation goes on in memory,
and what Redis lacks it is told when it is back; until then nobody elsewhere sees it. See ADR 0023.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import Any, Final
from uuid import uuid4

from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from backend.core.aio import Background
from backend.core.clock import Clock
from backend.core.errors import Conflict, LogUnavailable, NotFound, PoolFull, Superseded, TooLarge
from backend.core.events import LogEvent, Origin, Terminal
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
from backend.generations.codec import decode, decode_record, encode, encode_record, from_wire, to_wire
from backend.generations.kept import CHANNEL, Kept
from backend.generations.packed import BYTES_PER_ENTRY
from backend.generations.pipe import Argument, Pipe, refused_as_old, scripts
from backend.infra.redis_routes import RoutedRedis

log = logging.getLogger(__name__)

_READING: Final = ("look",)
_WRITING: Final = (
    "begin",
    "renew",
    "note",
    "prepare",
    "release",
    "leave",
    "takeover",
    "close",
    "tell",
    "rejoin",
)
_UNUSED_S: Final = 2.0
"""A mirror that nobody uses is kept for so long: a reader who comes back looks at it several times."""
_LOST_LEASES: Final = 3
"""So many leases a follower waits for a log that Redis has lost to be told again."""
_AHEAD_LEASES: Final = 3
"""So many leases a reader waits for an entry that it has seen, and Redis does not have."""
_READ_S: Final = 2.0
"""Longest wait for what is read."""
_SILENCE_S: Final = 3.0
"""A connection that nothing is heard on for so long is given up; it is asked for a sign of life before."""
_NO_EVENT: Final = "this answer has no such event"
_GONE: Final = "this answer is no longer kept"


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds the logs of a process.

    Attributes:
        abandon_after_s: A live generation that no process follows for that long is abandoned.
        lease_s: A writer that has not renewed for that long is dead.
        retention_s: How long an ended log is kept.
        max_live: Most live generations that one process writes.
        max_log_bytes: Most bytes of one log's entries.
        ack_s: What Redis has not taken after that is shown nevertheless.
        again_s: How often a reader's entry is looked for that is on its way.
    """

    abandon_after_s: float = 15.0
    lease_s: float = 2.5
    retention_s: float = 600.0
    max_live: int = 2000
    max_log_bytes: int = 8 * 1024**2
    ack_s: float = 0.05
    again_s: float = 0.1


class RedisLog:
    """All logs of the processes that use one Redis.

    Args:
        redis: Fails fast; longer than its limit Redis is away.
        clock_in_redis: Redis's own time counts; otherwise `clock`'s (for tests in simulated time).
        acknowledged: Told how long Redis took to take an entry, in seconds.
    """

    def __init__(
        self,
        redis: RoutedRedis,
        clock: Clock,
        limits: Limits,
        *,
        clock_in_redis: bool = True,
        acknowledged: Callable[[float], None] = lambda _: None,
    ) -> None:
        self.clock = clock
        self.limits = limits
        self._clock_in_redis = clock_in_redis
        self._acknowledged = acknowledged
        self._kept: dict[GenerationId, Kept] = {}
        self._flights: dict[str, Kept] = {}
        self._redis = redis
        self.pipe = self._pipe(limits.ack_s, self._show_late, *_WRITING)
        self._reads = self._pipe(_READ_S, lambda: None, *_READING)
        self._calm_until = 0.0
        self._hears = asyncio.Event()
        self._work = Background()

    def _pipe(self, late_s: float, late: Callable[[], None], *names: str) -> Pipe:
        return Pipe(self._redis, late_s=late_s, late=late, scripts=scripts(*names))

    def is_shared(self) -> bool:
        """Whether other processes can follow what this one writes, as far as it knows."""
        return self.pipe.is_open and all(kept.linked for kept in self._kept.values())

    # who writes

    async def begin(self, key: str | None, run: str, record: RequestRecord) -> Joined:
        """See `GenerationLog`."""
        if sum(1 for kept in self._kept.values() if kept.is_open) >= self.limits.max_live:
            raise PoolFull("too many answers are in progress", retry_after_s=5)
        tag = uuid4().hex if key is None else blake2b(key.encode(), digest_size=16).hexdigest()
        own, encoded = uuid4().hex[:16], encode_record(record)
        kept = Kept(
            GenerationId(f"{tag}.{own}"), self.clock.monotonic(), [1], [0],
            fence=1, is_shared=key is not None, deadline=record.deadline, record=encoded, runs={run: None},
            renewed=self.clock.monotonic(),
        )  # fmt: skip
        try:
            times = repr(self.limits.lease_s), repr(self.limits.abandon_after_s), self.keep_ms(kept)
            live = await self.call(kept, "begin", int(kept.is_shared), run, encoded, *times, waits=True)
        except LogUnavailable:
            if (mine := self._flights.get(tag)) is not None and mine.is_open and not mine.linked:
                mine.runs[run] = None
                mine.touched = self.clock.monotonic()
                return Joined(mine.id, None)
            kept.linked = False
        else:
            if live != own:
                return Joined(GenerationId(f"{tag}.{live}"), None)
        self._kept[kept.id] = kept
        if kept.is_shared:
            self._flights[tag] = kept
        return Joined(kept.id, _Writer(self, kept, 1))

    async def takeover(self, generation: GenerationId) -> TakenOver | None:
        """See `GenerationLog`."""
        if self.clock.monotonic() < self._calm_until:
            return None
        kept = self._kept.get(generation) or Kept(generation, self.clock.monotonic())
        taken = await self.call(kept, "takeover", repr(self.limits.lease_s))
        if not taken:
            return None
        fence, record, prepared = taken
        await self._reread(kept)
        kept.fence, kept.linked, kept.acked = int(fence), True, len(kept.events)
        kept.renewed, kept.lapsed = self.clock.monotonic(), False
        kept.record = record.encode("utf-8", "surrogateescape")
        found = decode_record(kept.record)
        kept.deadline = found.deadline
        kept.prepared = _terminal(prepared) if prepared else None
        await self.read_runs(kept)
        kept.runs |= dict.fromkeys(run for run in kept.here if run not in kept.left)
        self._kept[generation] = kept
        return TakenOver(found, kept.every_entry(), _Writer(self, kept, kept.fence), kept.prepared)

    async def lapsed(self) -> Sequence[GenerationId]:
        """See `GenerationLog`; only what this process writes or follows. Reads what is new of it as well."""
        stale = self.clock.monotonic() - self.limits.lease_s
        asked = [
            kept
            for kept in self._kept.values()
            if kept.is_elsewhere or kept.released or (kept.is_open and kept.linked and kept.renewed <= stale)
        ]
        await asyncio.gather(*[self._refresh(kept) for kept in asked])
        return [kept.id for kept in asked if kept.lapsed and not kept.has_ended]

    # who follows

    async def follow(
        self,
        generation: GenerationId,
        after: EntryId = START,
        *,
        run: str | None = None,
        idle_s: float = 10.0,
    ) -> AsyncGenerator[Sequence[Entry], None]:
        """See `GenerationLog`."""
        kept = await self._found(generation)
        seen, anew = await self._place(kept, after)
        async with aclosing(kept.follow(seen, self.clock, run=run, idle_s=idle_s, anew=anew)) as batches:
            self._hears.set()
            if run is not None:
                self._note_run(kept, run)
            async for batch in batches:
                yield batch

    def _note_run(self, kept: Kept, run: str) -> None:
        kept.here.add(run)
        if kept.is_open and run not in kept.left and run not in kept.runs:
            kept.runs[run] = None
            self._join_again(kept, run)

    def _join_again(self, kept: Kept, *runs: str) -> None:
        """Tell Redis of runs that it has forgotten, so that the end is theirs too."""
        self.pipe.run("rejoin", lambda _: None, kept.tag, self.now(), kept.own, *runs)

    async def origin(self, generation: GenerationId) -> Origin | None:
        """See `GenerationLog`."""
        kept = await self._found(generation)
        first = kept.events.event(0) if kept.shown else None
        return first if isinstance(first, Origin) else None

    async def has_ended(self, generation: GenerationId) -> bool:
        """See `GenerationLog`."""
        return (await self._found(generation)).has_ended

    async def is_end(self, generation: GenerationId, entry: EntryId) -> bool:
        """See `GenerationLog`."""
        kept = await self._found(generation)
        seen, anew = await self._place(kept, entry)
        return kept.has_ended and not anew and seen == len(kept.events)

    async def leave(self, generation: GenerationId, run: str) -> bool:
        """See `GenerationLog`."""
        kept = await self._found(generation)
        others = await self._told_to_leave(kept, run)
        if not kept.is_open:
            await self._refresh(kept)
        elif not others:
            kept.stopping = True
        elif run in kept.runs:
            kept.left[run] = kept.shown
            del kept.runs[run]
            kept.wake()
        return others

    async def _told_to_leave(self, kept: Kept, run: str) -> bool:
        """Whether others still want it."""
        if kept.linked or not kept.is_open:
            try:
                others = await self.call(kept, "leave", run)
                if others is not None:
                    self.tell_others(kept)
                    return bool(others)
            except LogUnavailable:
                if not kept.is_open:
                    raise
            if not kept.is_open:
                raise NotFound(_GONE)
            kept.unlink()
        return not kept.runs.keys() <= {run}

    async def will_end(self, generation: GenerationId, run: str) -> bool:
        """See `GenerationLog`."""
        kept = await self._found(generation)
        if kept.is_open and not kept.linked:
            return kept.prepared is None and run in kept.runs
        look = self._reads.call("look", kept.tag, self.now(), kept.own, "")
        stands, follows = await asyncio.gather(look, self._reads.ask("HGET", kept.runs_key, run))
        if stands is None:
            raise NotFound(_GONE)
        return not stands[2] and follows == ""

    # what runs behind

    async def run(self, every_s: float = 0.25) -> None:
        """Look after Redis and what it lacks, and forget what nobody uses; for ever."""
        while True:
            await asyncio.sleep(every_s)
            await self.tend()

    async def tend(self) -> None:
        """One round of `run`."""
        now = self.clock.monotonic()
        was_open = self.pipe.is_open and self._reads.is_open
        if await self.pipe.probe() and await self._reads.probe():
            if not was_open:
                log.info("the shared log is back", extra={"event": "log_back"})
                self._calm_until = now + self.limits.lease_s
            for kept in [kept for kept in self._kept.values() if kept.fence is not None and not kept.linked]:
                await self.tell_again(kept)
        for kept in [kept for kept in self._kept.values() if self._is_unused(kept, now)]:
            del self._kept[kept.id]
            if self._flights.get(tag := kept.id.partition(".")[0]) is kept:
                del self._flights[tag]

    async def listen(self) -> None:
        """Hear what is new of generations that are written elsewhere and followed here; for ever.

        What is not heard is seen by `lapsed`: so whatever befalls the connection costs a quarter of a second.
        """
        while True:
            try:
                node = await self._redis.node_of(CHANNEL)
                async with node.pubsub(ignore_subscribe_messages=True) as heard:
                    await heard.subscribe(CHANNEL)
                    async with asyncio.TaskGroup() as both:
                        both.create_task(self._subscribe(heard))
                        both.create_task(self._hear(heard))
            except* (RedisError, OSError, TimeoutError):
                await asyncio.sleep(0.2)

    async def _subscribe(self, heard: PubSub) -> None:
        have: set[str] = set()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_SILENCE_S / 3):
                    await self._hears.wait()
            self._hears.clear()
            want = {kept.channel for kept in self._kept.values() if kept.is_elsewhere}
            if more := want - have:
                await heard.subscribe(*more)
            if fewer := have - want:
                await heard.unsubscribe(*fewer)
            have = want
            await heard.ping()

    async def _hear(self, heard: PubSub) -> None:
        while True:
            async with asyncio.timeout(_SILENCE_S):
                message = await heard.get_message(timeout=None)
            if message is None or message["type"] != "message":
                continue
            kept = self._kept.get(GenerationId(message["channel"].removeprefix(CHANNEL)))
            if kept is not None and kept.is_elsewhere:
                self._fetch(kept)

    def _fetch(self, kept: Kept) -> None:
        """Read what is new; what is said meanwhile is read with the next turn."""
        if kept.asked:
            kept.again = True
            return
        kept.asked = True
        self._reads.send(partial(self._fetched, kept), "XRANGE", kept.log_key, f"({kept.last_id}", "+")

    def _fetched(self, kept: Kept, answer: Any) -> None:
        kept.asked = False
        if isinstance(answer, list) and kept.fence is None and not kept.take(answer):
            kept.doubtful = True
        if kept.again and isinstance(answer, list):
            kept.again = False
            self._fetch(kept)

    async def close(self) -> None:
        """Stop."""
        await self._work.close()
        await self.pipe.close()
        await self._reads.close()

    # what is read

    async def _found(self, generation: GenerationId) -> Kept:
        """The generation, as it is now.

        Raises:
            NotFound, LogUnavailable
        """
        kept = self._kept.get(generation)
        if kept is not None and (kept.is_open or not kept.linked):
            if kept.ended and self.clock.monotonic() >= kept.ended_at + self.limits.retention_s:
                raise NotFound(_GONE)
            return kept
        kept = kept or Kept(generation, self.clock.monotonic())
        try:
            is_there = await self._refresh(kept)
            while not is_there and self.clock.monotonic() < self._calm_until:
                await asyncio.sleep(self.limits.again_s)  # its writer may tell it again
                is_there = await self._refresh(kept)
        except LogUnavailable:
            if not kept.has_ended:
                raise
            return kept
        if not is_there and not kept.followers:
            self._kept.pop(generation, None)
            raise NotFound(_GONE)
        if kept.fence is None:
            kept.touched = self.clock.monotonic()
        return self._kept.setdefault(generation, kept)

    async def _place(self, kept: Kept, after: EntryId) -> tuple[int, bool]:
        """How many entries are known to who has seen `after`, and whether others took their place since.

        An entry may be on its way here: it was shown, so who wrote it has it, or has died.

        Raises:
            NotFound: There never was such an entry.
        """
        until = self.clock.monotonic() + _AHEAD_LEASES * self.limits.lease_s
        kept.followers += 1  # whoever waits wants it to go on
        try:
            while (place := kept.place_of(after)) is None:
                if kept.is_open or kept.has_ended or self.clock.monotonic() >= until:
                    raise NotFound(_NO_EVENT)
                await asyncio.sleep(self.limits.again_s)
                await self._refresh(kept)
            return place
        finally:
            kept.followers -= 1

    async def _refresh(self, kept: Kept) -> bool:
        """Read how a generation stands and what is new of it; False: the shared log does not have it.

        Raises:
            LogUnavailable
        """
        if kept.doubtful:
            await self._reread(kept)
        wanted = repr(self.limits.abandon_after_s) if kept.is_elsewhere else ""
        look = self._reads.call("look", kept.tag, self.now(), kept.own, wanted)
        news = self._reads.ask("XRANGE", kept.log_key, f"({kept.last_id}", "+")
        stands, entries = await asyncio.gather(look, news)
        if stands is None:
            self._is_missing(kept)
            return False
        kept.missing_since = kept.lost = None
        kept.lapsed = float(stands[1]) <= 0
        if kept.fence is None and not kept.take(entries):
            await self._reread(kept)
        if stands[3] != len(kept.left):
            await self.read_runs(kept)
        if stands[4] < kept.most_runs and not stands[2]:
            self._join_again(kept, *kept.here)
        kept.most_runs = stands[4]
        return True

    async def _reread(self, kept: Kept) -> None:
        """Read a whole log; it takes the place of what was here.

        Raises:
            LogUnavailable: There is none, or Redis does not answer.
        """
        fresh = Kept(kept.id, kept.touched)
        entries = await self._reads.ask("XRANGE", kept.log_key, "-", "+")
        if not entries or not fresh.take(entries):
            raise LogUnavailable("the shared log has lost entries")
        kept.replace(fresh)
        kept.doubtful = False

    async def read_runs(self, kept: Kept) -> None:
        """Read who follows, and who left when.

        Raises:
            LogUnavailable
        """
        said: dict[str, str] = await self._reads.ask("HGETALL", kept.runs_key)
        for run, seen in said.items():
            if seen and run not in kept.left:
                kept.leave(run, seen)
            elif not seen:
                kept.runs[run] = None
        kept.wake()

    def _is_missing(self, kept: Kept) -> None:
        now = self.clock.monotonic()
        kept.lapsed = False
        if kept.missing_since is None:
            kept.missing_since = now
        elif now - kept.missing_since > _LOST_LEASES * self.limits.lease_s:
            kept.lost = NotFound(_GONE)
            kept.wake()

    def _is_unused(self, kept: Kept, now: float) -> bool:
        if kept.followers or kept.is_open:
            return False
        unused_s = now - max(kept.touched, kept.ended_at)
        return unused_s > (_UNUSED_S if kept.linked else self.limits.retention_s)

    # for writers

    def now(self) -> str:
        """The time that scripts go by."""
        return "" if self._clock_in_redis else repr(self.clock.now())

    async def call(self, kept: Kept, script: str, *arguments: Argument, waits: bool = False) -> Any:
        """The answer of a script about one generation."""
        return await self.pipe.call(script, kept.tag, self.now(), kept.own, *arguments, waits=waits)

    def keep_ms(self, kept: Kept) -> int:
        """How long Redis keeps a generation that it hears no more of."""
        return int(1000 * (max(0.0, kept.deadline - self.clock.now()) + self.limits.retention_s))

    def wanted_s(self, kept: Kept) -> float:
        """How long it is wanted yet, for all that this process knows."""
        if kept.followers:
            return self.limits.abandon_after_s
        return self.limits.abandon_after_s - (self.clock.monotonic() - kept.touched)

    def tell_others(self, kept: Kept) -> None:
        """Say that there is something new; who does not hear it looks by itself."""
        self.pipe.send(lambda _: None, "PUBLISH", kept.channel, "")

    def write(self, kept: Kept, start: int, until: int) -> None:
        """Have these entries written; they are seen once Redis has them."""
        assert kept.fence is not None
        began = self.clock.monotonic()
        for number in range(start, until):
            done = partial(self._written, kept, kept.fence, number, began)
            id_, wire = str(kept.id_of(number)), kept.wire(number)
            if kept.ended and number == len(kept.events) - 1:
                keep = repr(self.limits.retention_s), int(1000 * self.limits.retention_s)
                self.pipe.run("close", done, kept.tag, self.now(), kept.own, kept.fence, id_, wire, *keep)
            else:
                self.pipe.send(done, "XADD", kept.log_key, "NOMKSTREAM", id_, "e", wire)
        self.tell_others(kept)

    def _written(self, kept: Kept, fence: int, number: int, began: float, answer: Any) -> None:
        if kept.fence != fence:
            return
        if isinstance(answer, str) and answer not in ("gone", "superseded"):
            kept.acked = number + 1
            kept.show(kept.acked)
            if kept.acked == len(kept.events):
                self._acknowledged(self.clock.monotonic() - began)
                kept.settle()
        elif refused_as_old(answer) or answer == "superseded":
            self.supersede(kept)
        elif kept.linked:
            log.warning(
                "an answer goes on in memory", extra={"event": "log_lost", "reason": type(answer).__name__}
            )
            kept.unlink()

    def supersede(self, kept: Kept) -> None:
        """Another process writes it: what is there takes the place of what is here."""
        kept.fence, kept.linked, kept.doubtful = None, True, True
        kept.settle()
        self._work.start(self._converge(kept), name="log: what another wrote")
        self._hears.set()

    async def _converge(self, kept: Kept) -> None:
        with suppress(LogUnavailable):  # then the next look does it
            await self._reread(kept)

    async def tell_again(self, kept: Kept) -> None:
        """Tell Redis what it does not have of a generation that this process writes."""
        fence = kept.fence
        with suppress(LogUnavailable):
            for anew in (False, True):  # from the beginning, where there is a gap before the last entry
                said = await self.call(kept, "tell", *self._everything(kept, anew=anew))
                if kept.fence != fence:
                    return
                if said == ["superseded"]:
                    self.supersede(kept)
                    return
                last, length = EntryId.parse(said[0]), said[1]
                if length == kept.length_until(last):
                    self._write_behind(kept, last)
                    return

    def _everything(self, kept: Kept, *, anew: bool) -> Sequence[Argument]:
        """All that Redis keeps of a generation beside its entries, as `tell` takes it."""
        assert kept.fence is not None
        prepared = kept.prepared
        may_join = kept.is_shared and prepared is None and not kept.ended
        return (
            kept.fence, kept.fences[0], repr(self.limits.lease_s), repr(self.wanted_s(kept)), kept.record,
            to_wire(prepared.name, encode(prepared)) if prepared else b"", int(kept.stopping),
            self.keep_ms(kept), int(may_join), int(anew), *kept.runs,
        )  # fmt: skip

    def _write_behind(self, kept: Kept, last: EntryId) -> None:
        """Write what comes behind the entry `last`."""
        kept.linked = True
        kept.renewed = self.clock.monotonic()
        for at, fence in enumerate(kept.fences):
            start = kept.starts[at]
            until = kept.starts[at + 1] if at + 1 < len(kept.starts) else len(kept.events)
            if (fence, 0) > last:
                before = str(kept.id_of(start - 1)) if start else f"{kept.fences[at - 1]}-0"
                begun = partial(self._begun, kept, kept.fence)
                self.pipe.send(begun, "XADD", kept.log_key, "NOMKSTREAM", f"{fence}-0", "e", before)
            elif fence == last.fence:
                start += last.seq
            if fence >= last.fence:
                self.write(kept, start, until)

    def _begun(self, kept: Kept, fence: int | None, answer: Any) -> None:
        if kept.fence == fence and (answer is None or isinstance(answer, LogUnavailable)):
            kept.unlink()

    def _show_late(self) -> None:
        for kept in self._kept.values():
            if kept.waits is not None:
                kept.show_all()


class _Writer:
    """The writer of one fence."""

    def __init__(self, logs: RedisLog, kept: Kept, fence: int) -> None:
        self._logs = logs
        self._kept = kept
        self._fence = fence

    @property
    def generation(self) -> GenerationId:
        """See `Writer`."""
        return self._kept.id

    @property
    def can_release(self) -> bool:
        """See `Writer`: all of it is in Redis, or under way there."""
        return self._kept.linked and self._logs.pipe.is_open

    async def append(self, events: Sequence[LogEvent]) -> EntryId:
        """See `Writer`."""
        kept, pipe = self._fenced(), self._logs.pipe
        ends = isinstance(events[-1], Terminal)
        if kept.ended or (kept.prepared is not None and not ends):
            raise Conflict("the generation has ended")
        packed = [(event, encode(event)) for event in events]
        more_bytes = sum([len(data) + BYTES_PER_ENTRY for _, data in packed])
        if kept.events.size_bytes + more_bytes > self._logs.limits.max_log_bytes and not ends:
            raise TooLarge("the answer is too long")
        start, last = len(kept.events), kept.put(packed)
        if ends:
            kept.ended, kept.ended_at = True, self._logs.clock.monotonic()
        if not (kept.linked and pipe.is_open):
            kept.unlink()
            return last
        kept.waits = asyncio.get_running_loop().create_future()
        self._logs.write(kept, start, len(kept.events))
        if pipe.is_late:
            kept.show_all()
        try:
            await kept.waits
        finally:
            kept.waits = None
        if not (ends and kept.ended):
            self._fenced()
        return last

    async def note(self, record: RequestRecord) -> None:
        """See `Writer`."""
        kept = self._fenced()
        kept.record = encode_record(record)
        await self._told("note", kept.record)

    async def prepare_end(self, terminal: Terminal) -> PreparedEnd:
        """See `Writer`."""
        kept = self._fenced()
        said = await self._told("prepare", to_wire(terminal.name, encode(terminal)))
        if said is not None:
            kept.prepared = _terminal(said[0])
            kept.runs = dict.fromkeys(said[1:])
        kept.prepared = kept.prepared or terminal
        return PreparedEnd(kept.prepared, tuple(kept.runs))

    async def renew(self) -> Word:
        """See `Writer`; while Redis is away only what this process was told counts."""
        kept, logs = self._fenced(), self._logs
        acked = kept.acked
        times = repr(logs.limits.lease_s), repr(logs.wanted_s(kept))
        said = await self._told("renew", *times, waits=True)  # late is no reason to tell all of it again
        if said is not None:
            word, runs, left, length = said
            kept.renewed = logs.clock.monotonic()
            if length < acked + len(kept.fences):
                kept.unlink()  # Redis came back with what it saved some time ago
            kept.stopping = kept.stopping or word == Word.STOP
            if (runs, left) != (len(kept.runs) + len(kept.left), len(kept.left)):
                with suppress(LogUnavailable):
                    await logs.read_runs(kept)
            if word == Word.ABANDONED:
                return Word.ABANDONED
        return Word.STOP if kept.stopping else Word.GO_ON

    async def release(self) -> None:
        """See `Writer`."""
        kept = self._fenced()
        if await self._told("release", waits=True) is None:
            raise LogUnavailable("the shared log does not have this answer")
        kept.fence, kept.released = None, True

    async def _told(self, script: str, *arguments: Argument, waits: bool = False) -> Any:
        """What a script says about this writer's generation; None: it goes on in memory.

        Raises:
            Superseded
        """
        kept = self._kept
        if not kept.linked:
            return None
        try:
            said = await self._logs.call(kept, script, self._fence, *arguments, waits=waits)
        except LogUnavailable:
            kept.unlink()
            said = None
        self._fenced()
        why = said[0] if isinstance(said, list) and len(said) == 1 else said
        if why == "gone":
            kept.unlink()
            return None
        if why == "superseded":
            self._logs.supersede(kept)
            self._fenced()
        return said

    def _fenced(self) -> Kept:
        if self._kept.fence != self._fence:
            raise Superseded("another process goes on with this answer")
        return self._kept


def _terminal(wire: str) -> Terminal:
    event = decode(*from_wire(wire))
    assert isinstance(event, Terminal)
    return event
