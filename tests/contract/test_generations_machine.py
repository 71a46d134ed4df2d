"""Under every schedule of faults each reader ends with the same text, once, with one end and one turn.

Processes crash, pause and come back, lose Redis alone or all together; Redis forgets; readers come back at
any process after the last event they saw, and stop. Time is simulated, Redis is real. Left out is what no log
can promise: what nobody was ever told dies with its process, and so does what all others have forgotten.
Where a process that was cut off ended an answer with which another went on, the turn may be of either.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Iterator
from contextlib import AsyncExitStack, aclosing, contextmanager, suppress
from dataclasses import dataclass, field

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis.exceptions import ConnectionError as RedisConnectionError

from backend.chat.outbox import Outbox
from backend.chat.transcript import Transcript
from backend.chat.turns import Turns
from backend.core.errors import LogUnavailable, NotFound, Superseded
from backend.core.events import Delta, Done, Origin, Terminal
from backend.generations.base import START, Entry, EntryId, GenerationId, Word, Writer
from backend.generations.redis import Limits, RedisLog
from backend.history.base import Owner
from backend.history.memory import MemoryHistory
from backend.infra.redis import open_redis
from tests.support.manual_clock import ManualClock
from tests.support.records import a_record
from tests.support.redis_server import RedisServer, redis_server

TEXT = "abcdefgh"
OWNER = Owner("t", "s")
ORIGIN = Origin("miss", "m", "v1")
LIMITS = Limits(lease_s=2.5, abandon_after_s=1e6, ack_s=30, again_s=0.005)


class Line:
    """The way of one process to Redis; where it is cut, nothing goes through."""

    def __init__(self, redis) -> None:
        self.redis = redis
        self.is_cut = False

    def __getattr__(self, name: str):
        return getattr(self.redis, name)

    async def execute_command(self, *args, **options):
        if self.is_cut:
            raise RedisConnectionError("cut")
        return await self.redis.execute_command(*args, **options)

    def pipeline(self, **options):
        pipeline = self.redis.pipeline(**options)
        if self.is_cut:
            pipeline.execute = self._cut
        return pipeline

    async def _cut(self, **options):
        raise RedisConnectionError("cut")


@dataclass(eq=False)
class Process:
    """What a process does, one step at a time."""

    log: RedisLog
    line: Line
    turns: Turns
    says: dict[Writer, Transcript] = field(default_factory=dict)
    ended_alone: set[GenerationId] = field(default_factory=set)
    is_paused: bool = False

    async def speak(self) -> None:
        """One piece more of everything that it says, or the end of it."""
        for writer, said in list(self.says.items()):
            with self.losing(writer):
                if said.origin is None:
                    await writer.append([ORIGIN])
                    said.add(ORIGIN)
                elif said.terminal is None and len(said.answer) < len(TEXT):
                    letter = TEXT[len(said.answer)]
                    piece = Delta(
                        letter.upper() if writer._fence // 500 % 2 else letter
                    )  # as no other says it
                    await writer.append([piece])
                    said.add(piece)
                else:
                    await self.end(writer, said, said.terminal or Done("stop"))

    async def sweep(self) -> None:
        """As the producer does, and the log's own loop."""
        for writer, said in list(self.says.items()):
            with self.losing(writer):
                if await writer.renew() is not Word.GO_ON:
                    await self.end(writer, said, Done("stopped"))
        with suppress(LogUnavailable):
            for generation in await self.log.lapsed():
                if (taken := await self.log.takeover(generation)) is not None:
                    said = Transcript.of(entry.event for entry in taken.entries)
                    said.terminal = taken.prepared
                    self.says[taken.writer] = said
        await self.log.tend()

    async def end(self, writer: Writer, said: Transcript, terminal: Terminal) -> None:
        try:
            await self.turns.end(writer, said, terminal)
        finally:
            if not writer.can_release:
                self.ended_alone.add(writer.generation)
        self.says.pop(writer, None)

    @contextmanager
    def losing(self, writer: Writer) -> Iterator[None]:
        """Around what a writer does: who is superseded goes away."""
        try:
            yield
        except Superseded:
            self.says.pop(writer, None)


@dataclass(eq=False)
class Reader:
    """A run, and the connection on which it is followed."""

    run: str
    generation: GenerationId
    conversation: str
    seen: list[Entry] = field(default_factory=list)
    has_stopped: bool = False
    following: asyncio.Task[None] | None = None
    at: Process | None = None

    @property
    def last(self) -> EntryId:
        return next((entry.id for entry in reversed(self.seen) if entry.id != START), START)

    @property
    def shown(self) -> Transcript:
        return Transcript.of(entry.event for entry in self.seen)

    @property
    def has_ended(self) -> bool:
        return self.has_stopped or self.shown.terminal is not None

    def connect(self, at: Process) -> None:
        self.at = at
        self.following = asyncio.ensure_future(self._follow(at.log))

    async def _follow(self, log: RedisLog) -> None:
        with suppress(NotFound, LogUnavailable):
            batches = log.follow(self.generation, self.last, run=self.run, idle_s=3600)
            async with aclosing(batches):
                async for batch in batches:
                    self.seen.extend(batch)

    async def disconnect(self) -> None:
        if self.following is not None:
            self.following.cancel()
            await asyncio.gather(self.following, return_exceptions=True)
        self.following = self.at = None


class GenerationsMachine(RuleBasedStateMachine):
    """Three processes; a rule is one step of one of them, or a fault."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.stack = AsyncExitStack()
        self.clock = ManualClock()
        self.history = MemoryHistory(self.clock)
        self.numbers = itertools.count()
        self.readers: list[Reader] = []
        self.ended_alone: set[GenerationId] = set()
        self.processes = self.run(self.open())

    def run(self, work):
        return self.loop.run_until_complete(work)

    async def open(self) -> list[Process]:
        self.redis = await self.stack.enter_async_context(open_redis(self.url, timeout_s=30))
        await self.redis.flushall()
        return [self.process() for _ in "abc"]

    def process(self) -> Process:
        line = Line(self.redis)
        log = RedisLog(line, self.clock, LIMITS, clock_in_redis=False)
        turns = Turns(history=self.history, generations=log, outbox=Outbox())
        return Process(log, line, turns, ended_alone=self.ended_alone)

    def settle(self) -> None:
        self.run(self._settled())

    async def _settled(self) -> None:
        for _ in range(30):
            await asyncio.sleep(0)

    @property
    def live(self) -> list[Process]:
        return [process for process in self.processes if not process.is_paused]

    @property
    def are_all_well(self) -> bool:
        return not any(process.is_paused or process.line.is_cut for process in self.processes)

    def pick(self, number: int) -> Process | None:
        return self.live[number % len(self.live)] if self.live else None

    @initialize()
    def an_answer_that_is_followed_in_two_processes(self) -> None:
        self.ask(0, "k")
        self.ask(1, "k")
        self.speak(0, 3)

    # what happens without faults

    @rule(place=st.integers(0, 2), key=st.sampled_from([None, "k"]))
    def ask(self, place: int, key: str | None) -> None:
        at = self.pick(place)
        if at is None or len(self.readers) == 4 or (key and not self.are_all_well):
            return
        self.run(self._ask(at, key))
        for process in self.live:
            self.run(process.sweep())  # a writer hears of who joined within a quarter of a second

    async def _ask(self, at: Process, key: str | None) -> None:
        run, now = f"r{next(self.numbers)}", self.clock.now()
        joined = await at.log.begin(key, run, a_record(run=run, began=now, deadline=now + 600))
        conversation = await self.history.begin(OWNER, None, run, "?")
        if joined.writer is not None:
            at.says[joined.writer] = Transcript()
        self.readers.append(Reader(run, joined.generation, conversation))
        self.readers[-1].connect(at)
        await self._settled()

    @rule(place=st.integers(0, 2), times=st.integers(1, 4))
    def speak(self, place: int, times: int) -> None:
        if (at := self.pick(place)) is not None:
            for _ in range(times):
                self.run(at.speak())
            self.settle()

    @rule(place=st.integers(0, 2))
    def sweep(self, place: int) -> None:
        if (at := self.pick(place)) is not None:
            self.run(at.sweep())
            self.settle()

    @rule(seconds=st.sampled_from([0.5, 1.0, 3.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)
        for process in self.live:
            self.run(process.sweep())
        self.settle()

    @precondition(lambda self: self.readers)
    @rule(number=st.integers(0, 3), place=st.integers(0, 2))
    def come_back(self, number: int, place: int) -> None:
        reader = self.readers[number % len(self.readers)]
        if not reader.has_ended and (at := self.pick(place)) is not None:
            self.run(self._come_back(reader, at))

    async def _come_back(self, reader: Reader, at: Process) -> None:
        await reader.disconnect()
        reader.connect(at)
        await self._settled()

    @precondition(lambda self: self.readers)
    @rule(number=st.integers(0, 3), place=st.integers(0, 2))
    def stop(self, number: int, place: int) -> None:
        reader = self.readers[number % len(self.readers)]
        if not reader.has_ended and (at := self.pick(place)) is not None:
            self.run(self._stop(reader, at))

    async def _stop(self, reader: Reader, at: Process) -> None:
        with suppress(NotFound, LogUnavailable):
            if await at.log.has_ended(reader.generation):
                return
            if await at.log.leave(reader.generation, reader.run):
                await at.turns.end_run(reader.run, reader.generation)
            reader.has_stopped = True

    # faults

    @rule(place=st.integers(0, 2), prepares=st.booleans())
    def crash(self, place: int, prepares: bool) -> None:
        if not self.run(self._holds_alone(self.processes[place])):
            self.run(self._crash(place, prepares))

    async def _holds_alone(self, process: Process) -> bool:
        """Whether something would be lost with it that nobody was ever told, or all have forgotten."""
        for writer in process.says:
            tag, _, own = writer.generation.partition(".")
            keys = [f"libri:{{{tag}}}:{own}:{kind}" for kind in ("state", "log")]
            if await self.redis.exists(*keys) < 2:
                return True
        return False

    async def _is_held(self) -> bool:
        """Whether somebody who may write it has everything that Redis has."""
        written = {
            (writer.generation, str(writer._fence)) for process in self.processes for writer in process.says
        }
        for reader in self.readers:
            tag, _, own = reader.generation.partition(".")
            fence = await self.redis.hget(f"libri:{{{tag}}}:{own}:state", "fence")
            if not reader.has_ended and fence and (reader.generation, fence) not in written:
                return False
        return True

    async def _crash(self, place: int, prepares: bool) -> None:
        process = self.processes[place]
        if prepares and not process.is_paused:
            for writer, said in list(process.says.items()):
                with process.losing(writer):
                    if len(said.answer) == len(TEXT):
                        await writer.prepare_end(Done("stop"))
        for reader in self.readers:
            if reader.at is process:
                await reader.disconnect()
        await process.log.close()
        self.processes[place] = self.process()

    @rule(place=st.integers(0, 2))
    def pause_or_go_on(self, place: int) -> None:
        process = self.processes[place]
        process.is_paused = not process.is_paused

    @rule(place=st.integers(0, 2), cut=st.booleans(), times=st.integers(0, 3))
    def sleep_through_a_lease(self, place: int, cut: bool, times: int) -> None:
        """Stand still, or alone, until another may go on; then wake up and say the next word."""
        process = self.processes[place]
        if process.is_paused or process.line.is_cut:
            return
        process.is_paused, process.line.is_cut = not cut, cut
        if cut:
            self.run(process.speak())
        self.time_passes(3.0)
        for _ in range(times):
            for other in self.live:
                self.run(other.speak())
        process.is_paused = process.line.is_cut = False
        self.run(process.speak())
        self.settle()

    @rule(place=st.integers(0, 2))
    def cut_or_mend(self, place: int) -> None:
        line = self.processes[place].line
        line.is_cut = not line.is_cut

    @rule()
    def redis_is_away_or_back(self) -> None:
        is_cut = all(process.line.is_cut for process in self.processes)
        for process in self.processes:
            process.line.is_cut = not is_cut

    @rule()
    def redis_forgets(self) -> None:
        if not self.run(self._is_held()):
            return
        self.run(self.redis.flushall())
        for process in self.live * 2:
            self.run(process.sweep())
        self.settle()

    # what holds

    @invariant()
    def nobody_sees_what_is_not_so(self) -> None:
        for reader in self.readers:
            assert TEXT.startswith(reader.shown.answer.lower()), "nothing twice, nothing missing"
            ids = [entry.id for entry in reader.seen if entry.id != START]
            ends = [entry for entry in reader.seen if isinstance(entry.event, Terminal)]
            assert len(ends) <= 1
            assert not ends or reader.seen[-1] is ends[0]
            assert len(set(ids)) == len(ids) or any(entry.id == START for entry in reader.seen)

    def teardown(self) -> None:
        try:
            self.run(self._all_end_well())
        finally:
            self.run(self._close())
            self.loop.close()

    async def _all_end_well(self) -> None:
        for process in self.processes:
            process.is_paused = process.line.is_cut = False
        for process in self.processes * 2:
            await process.sweep()
        for _ in range(60):
            if all(reader.has_ended for reader in self.readers):
                break
            for reader in self.readers:
                if not reader.has_ended and (reader.following is None or reader.following.done()):
                    await reader.disconnect()
                    reader.connect(self.processes[-1])
            self.clock.advance(0.5)
            for process in self.processes:
                await process.sweep()
                await process.speak()
            await asyncio.sleep(0.01)
        for reader in self.readers:
            await self._ended_well(reader)

    async def _ended_well(self, reader: Reader) -> None:
        (turn,) = await self.history.turns(OWNER, reader.conversation)
        if reader.has_stopped:
            assert TEXT.startswith(turn.answer.lower())
            return
        end = reader.shown.terminal
        assert isinstance(end, Done), f"{reader.run} never ended: it saw {reader.shown.answer!r}"
        if end.finish_reason == "stop":
            assert reader.shown.answer.lower() == TEXT
            assert (turn.state, turn.answer.lower()) == ("done", TEXT), f"{reader.run}"
            if reader.generation not in self.ended_alone:
                assert turn.answer == reader.shown.answer, f"{reader.run}"

    async def _close(self) -> None:
        for reader in self.readers:
            await reader.disconnect()
        for process in self.processes:
            await process.log.close()
        await self.stack.aclose()


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


def test_every_reader_ends_with_the_same_text_once(server: RedisServer) -> None:
    GenerationsMachine.url = server.url
    run_state_machine_as_test(
        GenerationsMachine,
        settings=settings(
            max_examples=int(os.environ.get("EXAMPLES", "12")),
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
