"""Two processes, one Redis, which hangs, forgets, dies and comes back: each follower sees one answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from redis.asyncio import Redis

from backend.chat.transcript import Transcript
from backend.core.clock import SystemClock
from backend.core.errors import LogUnavailable, NotFound, Superseded
from backend.core.events import Delta, Done, Origin, Replace, Terminal
from backend.generations.base import START, Entry, EntryId, GenerationId, Word, Writer
from backend.generations.redis import Limits, RedisLog
from backend.infra.redis import open_redis
from tests.support.records import a_record
from tests.support.redis_server import RedisCluster, RedisServer, redis_cluster, redis_server

DONE = Done("stop")
ORIGIN = Origin("miss", "m", "v1")
LEASE_S = 1.0


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


def record(run: str):
    return a_record(run=run, deadline=SystemClock().now() + 600)


@dataclass(slots=True)
class Process:
    """The log as a process has it, with its loops."""

    log: RedisLog
    loops: Sequence[asyncio.Task[None]]

    async def die(self) -> None:
        """As if it were killed."""
        for loop in self.loops:
            loop.cancel()
        await asyncio.gather(*self.loops, return_exceptions=True)
        await self.log.close()

    async def begin(self, key: str | None = None, run: str = "r1") -> Writer:
        writer = (await self.log.begin(key, run, record(run))).writer
        assert writer is not None
        return writer


@asynccontextmanager
async def a_process(server: RedisServer | RedisCluster, **limits) -> AsyncIterator[Process]:
    async with open_redis(server.url, timeout_s=0.5) as client:
        log = RedisLog(client, SystemClock(), Limits(**{"lease_s": LEASE_S, "ack_s": 0.2, **limits}))

        async def look() -> None:
            while True:
                await asyncio.sleep(0.1)
                try:
                    await log.lapsed()
                except LogUnavailable:
                    continue

        loops = [asyncio.ensure_future(work) for work in (look(), log.run(0.1), log.listen())]
        process = Process(log, loops)
        try:
            yield process
        finally:
            await process.die()


@pytest.fixture
async def both(server: RedisServer) -> AsyncIterator[tuple[Process, Process]]:
    async with AsyncExitStack() as stack:
        yield (
            await stack.enter_async_context(a_process(server)),
            await stack.enter_async_context(a_process(server)),
        )


class Reader:
    """Follows a generation in a process."""

    def __init__(self, at: Process, generation: GenerationId, after: EntryId = START, run: str | None = None):
        self.seen: list[Entry] = []
        self.following = asyncio.ensure_future(self._follow(at, generation, after, run))

    async def _follow(self, at: Process, generation: GenerationId, after: EntryId, run: str | None) -> None:
        async with aclosing(at.log.follow(generation, after, run=run, idle_s=0.2)) as batches:
            async for batch in batches:
                self.seen.extend(batch)

    @property
    def text(self) -> str:
        return Transcript.of(entry.event for entry in self.seen).answer

    @property
    def last(self) -> EntryId:
        return self.seen[-1].id

    async def until(self, text: str) -> None:
        async with asyncio.timeout(30):
            while self.text != text:
                assert not (self.following.done() and self.following.exception())
                await asyncio.sleep(0.01)

    async def whole(self) -> str:
        """The text, once it has ended; with one end, at the end."""
        await asyncio.wait_for(self.following, 30)
        ends = [isinstance(entry.event, Terminal) for entry in self.seen]
        assert ends.count(True) == 1
        assert ends[-1]
        return self.text


async def whole_of(at: Process, generation: GenerationId) -> str:
    """The text that a reader sees who comes again until the log is there."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await Reader(at, generation).whole()
            except (NotFound, LogUnavailable):
                await asyncio.sleep(0.1)


async def say(writer: Writer, text: str) -> None:
    for piece in text:
        await writer.append([Delta(piece)])


async def taken(at: Process, generation: GenerationId) -> Writer:
    async with asyncio.timeout(30):
        while (found := await at.log.takeover(generation)) is None:
            await asyncio.sleep(0.05)
    return found.writer


async def renewed(writer: Writer, word: Word) -> None:
    async with asyncio.timeout(30):
        while await writer.renew() is not word:
            await asyncio.sleep(0.05)


async def commands(server: RedisServer, name: str) -> int:
    """How often a command was given so far."""
    async with Redis.from_url(server.url) as client:
        return int((await client.info("commandstats")).get(f"cmdstat_{name}", {}).get("calls", 0))


async def test_who_follows_elsewhere_sees_what_comes_as_it_comes(both: tuple[Process, Process]) -> None:
    here, there = both
    writer = await here.begin()
    await writer.append([ORIGIN])
    reader = Reader(there, writer.generation)
    for n in range(1, 6):
        await say(writer, str(n))
        await reader.until("12345"[:n])
    await writer.append([DONE])
    assert await reader.whole() == "12345"
    assert await there.log.has_ended(writer.generation)


async def test_a_hundred_followers_elsewhere_cost_one_read(
    both: tuple[Process, Process], server: RedisServer
) -> None:
    here, there = both
    writer = await here.begin()
    await writer.append([ORIGIN])
    readers = [Reader(there, writer.generation) for _ in range(100)]
    await say(writer, "_")
    await asyncio.gather(*(reader.until("_") for reader in readers))
    before = await commands(server, "xrange")
    for n in range(1, 21):
        await say(writer, "x")
        await readers[0].until("_" + "x" * n)
    await writer.append([DONE])
    assert {await reader.whole() for reader in readers} == {"_" + "x" * 20}
    assert await commands(server, "xrange") - before < 200


async def test_an_answer_goes_on_behind_what_a_dead_process_said(both: tuple[Process, Process]) -> None:
    here, there = both
    writer = await here.begin()
    await writer.append([ORIGIN])
    await say(writer, "abc")
    reader = Reader(there, writer.generation)
    await reader.until("abc")
    await here.die()
    later = await taken(there, writer.generation)
    await say(later, "def")
    await later.append([DONE])
    assert await reader.whole() == "abcdef"
    assert not any(isinstance(entry.event, Replace) for entry in reader.seen)


async def test_a_reader_comes_back_at_another_process_after_any_event(both: tuple[Process, Process]) -> None:
    here, there = both
    writer = await here.begin()
    await writer.append([ORIGIN])
    await say(writer, "abcdef")
    first = Reader(here, writer.generation)
    await first.until("abcdef")
    ids = [EntryId(1, n) for n in range(2, 8)]
    await writer.release()
    later = await taken(there, writer.generation)
    await later.append([Delta("g"), DONE])
    for place, id_ in enumerate(ids):
        assert await Reader(there, writer.generation, id_).whole() == "abcdefg"[place + 1 :]
    assert await first.whole() == "abcdefg", "who follows where it was written sees how it goes on elsewhere"


async def test_a_redis_that_answers_late_still_hands_an_answer_over(
    server: RedisServer, both: tuple[Process, Process]
) -> None:
    here, there = both
    writer = await here.begin()
    await writer.append([ORIGIN])
    await say(writer, "abc")
    server.hang()
    releasing = asyncio.ensure_future(writer.release())
    await asyncio.sleep(0.3)  # more than an event is waited for, less than Redis has
    server.go_on()
    await releasing
    later = await taken(there, writer.generation)
    await later.append([Delta("d"), DONE])
    assert await Reader(there, writer.generation).whole() == "abcd"


async def test_a_writer_that_comes_back_after_its_fence_was_taken_is_not_heard(
    both: tuple[Process, Process],
) -> None:
    here, there = both
    writer = await here.begin()
    await writer.append([ORIGIN])
    await say(writer, "abc")
    mine, other = Reader(here, writer.generation), Reader(there, writer.generation)
    await other.until("abc")
    later = await taken(there, writer.generation)  # nobody renewed
    await say(later, "d")
    with pytest.raises(Superseded):
        await say(writer, "X")
    await later.append([Delta("e"), DONE])
    assert (await mine.whole(), await other.whole()) == ("abcde", "abcde")


async def test_a_stop_from_elsewhere_reaches_the_writer_and_a_run_that_leaves_ends_everywhere(
    both: tuple[Process, Process],
) -> None:
    here, there = both
    writer = await here.begin("k", "one")
    assert (await there.log.begin("k", "two", record("two"))).generation == writer.generation
    await writer.append([ORIGIN, Delta("a")])
    readers = [Reader(at, writer.generation, run="one") for at in both]
    stays = Reader(there, writer.generation, run="two")
    await asyncio.gather(*(reader.until("a") for reader in readers))
    assert await there.log.leave(writer.generation, "one")
    await renewed(writer, Word.GO_ON)
    await say(writer, "b")
    await asyncio.wait_for(asyncio.gather(*(reader.following for reader in readers)), 30)
    assert [reader.text for reader in readers] == ["a", "a"]
    assert not await there.log.leave(writer.generation, "two")
    await renewed(writer, Word.STOP)
    assert (await writer.prepare_end(Done("stopped"))).runs == ("two",)
    await writer.append([Done("stopped")])
    assert await stays.whole() == "ab"


async def test_what_is_followed_elsewhere_is_not_abandoned(server: RedisServer) -> None:
    async with (
        a_process(server, abandon_after_s=0.5) as here,
        a_process(server, abandon_after_s=0.5) as there,
    ):
        writer = await here.begin()
        reader = Reader(there, writer.generation)
        for _ in range(10):
            await asyncio.sleep(0.1)
            assert await writer.renew() is Word.GO_ON
        reader.following.cancel()
        await renewed(writer, Word.ABANDONED)


# Redis fails


async def test_a_redis_that_forgets_everything_is_told_again(
    both: tuple[Process, Process], server: RedisServer
) -> None:
    here, there = both
    writer = await here.begin("forgotten", "one")
    await writer.append([ORIGIN])
    await say(writer, "abc")
    mine, other = Reader(here, writer.generation), Reader(there, writer.generation)
    await other.until("abc")
    server.forget()
    await say(writer, "def")
    await other.until("abcdef")
    await renewed(writer, Word.GO_ON)
    assert (await there.log.begin("forgotten", "two", record("two"))).generation == writer.generation
    assert (await writer.prepare_end(DONE)).runs == ("one", "two")
    await writer.append([DONE])
    assert (await mine.whole(), await other.whole()) == ("abcdef", "abcdef")


async def test_an_answer_goes_on_in_memory_while_redis_is_dead_and_is_followed_elsewhere_when_it_is_back(
    both: tuple[Process, Process], server: RedisServer
) -> None:
    here, there = both
    writer = await here.begin()
    await writer.append([ORIGIN])
    await say(writer, "abc")
    mine, other = Reader(here, writer.generation), Reader(there, writer.generation)
    await other.until("abc")
    server.kill()
    await say(writer, "def")
    await mine.until("abcdef")
    assert not here.log.is_shared()
    begun = await here.begin("k", "r2")
    assert (await here.log.begin("k", "r3", record("r3"))).generation == begun.generation
    await begun.append([ORIGIN, Delta("only here"), DONE])
    with pytest.raises(LogUnavailable):
        await there.log.has_ended(GenerationId("a.b"))
    server.start()
    await other.until("abcdef")
    await say(writer, "g")
    await writer.append([DONE])
    assert (await mine.whole(), await other.whole()) == ("abcdefg", "abcdefg")
    assert await whole_of(there, begun.generation) == "only here"
    assert here.log.is_shared()


async def test_a_redis_that_hangs_holds_no_answer_up(
    both: tuple[Process, Process], server: RedisServer
) -> None:
    here, there = both
    writer = await here.begin()
    await writer.append([ORIGIN, Delta("a")])
    mine, other = Reader(here, writer.generation), Reader(there, writer.generation)
    await other.until("a")
    server.hang()
    try:
        began = asyncio.get_running_loop().time()
        await say(writer, "bcdef")
        await writer.note(replace(record("r1"), degraded=("dense",)))
        took_s = asyncio.get_running_loop().time() - began
        await mine.until("abcdef")
    finally:
        server.go_on()
    assert took_s < 5
    await other.until("abcdef")
    await renewed(writer, Word.GO_ON)
    await writer.append([DONE])
    assert (await mine.whole(), await other.whole()) == ("abcdef", "abcdef")


async def test_a_redis_that_comes_back_with_old_data_is_told_the_rest(
    both: tuple[Process, Process], server: RedisServer
) -> None:
    here, there = both
    writer = await here.begin()
    await writer.append([ORIGIN])
    await say(writer, "abc")
    mine = Reader(there, writer.generation)
    async with Redis.from_url(server.url) as client:
        saved = {key: await client.dump(key) for key in await client.keys("libri:*")}
        await say(writer, "def")
        await client.flushall()
        for key, data in saved.items():
            await client.restore(key, 0, data)
    await say(writer, "ghi")  # Redis takes it: behind a gap
    await renewed(writer, Word.GO_ON)
    await mine.until("abcdefghi")
    await writer.append([DONE])
    async with a_process(server) as third:
        assert await whole_of(third, writer.generation) == await mine.whole() == "abcdefghi"


async def test_who_saw_what_was_never_shared_is_told_the_answer_anew(
    both: tuple[Process, Process], server: RedisServer
) -> None:
    here, there = both
    writer = await here.begin()
    await writer.append([ORIGIN])
    await say(writer, "abc")
    mine = Reader(here, writer.generation)
    await mine.until("abc")
    here.log.pipe.is_open = False  # as if Redis were away for this process alone
    loops, here.loops = here.loops, ()
    for loop in loops:
        loop.cancel()
    await say(writer, "XYZ")
    await mine.until("abcXYZ")
    seen = mine.last
    later = await taken(there, writer.generation)
    await say(later, "def")
    back = Reader(there, writer.generation, seen)
    await back.until("abcdef")
    here.loops = [asyncio.ensure_future(here.log.run(0.1))]
    await mine.until("abcdef")
    with pytest.raises(Superseded):
        await writer.append([DONE])
    await later.append([DONE])
    here.loops = [*here.loops, asyncio.ensure_future(here.log.lapsed())]
    assert await back.whole() == "abcdef"


async def test_on_a_cluster_answers_are_followed_gone_on_with_and_told_again() -> None:
    with redis_cluster() as cluster:
        async with a_process(cluster) as here, a_process(cluster) as there:
            writers = [await here.begin(f"k{n}") for n in range(8)]
            for writer in writers:
                await writer.append([ORIGIN])
            readers = [Reader(there, writer.generation) for writer in writers]
            await asyncio.gather(*(say(writer, "abc") for writer in writers))
            await asyncio.gather(*(reader.until("abc") for reader in readers))
            for server in cluster.servers:
                server.forget()
            await asyncio.gather(*(say(writer, "d") for writer in writers))
            await asyncio.gather(*(reader.until("abcd") for reader in readers))
            await here.die()
            for writer in writers:
                later = await taken(there, writer.generation)
                await later.append([Delta("e"), DONE])
            assert {await reader.whole() for reader in readers} == {"abcde"}
