"""Slots shared by several processes through a real Redis that dies, hangs and forgets."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
from redis.exceptions import TimeoutError as RedisTimeoutError

from backend.core.clock import Clock, SystemClock
from backend.core.errors import SlotsUnavailable
from backend.infra.redis import open_redis
from backend.pool.fallback import FallbackNotes, FallbackSlots, Link
from backend.pool.shared_notes.redis import RedisNotes
from backend.pool.slots.base import Capacity, Granted, Place, Ticket
from backend.pool.slots.redis import PREFIX, RedisSlots
from tests.support.manual_clock import ManualClock
from tests.support.redis_server import RedisServer, redis_server

NUMBERS = itertools.count()


def ticket(flow: str = "ann", **more) -> Ticket:
    return Ticket(f"t{next(NUMBERS)}", "m", flow, more.pop("patience_s", 600.0), **more)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@asynccontextmanager
async def process(
    server: RedisServer, name: str, clock: Clock | None = None, *, hold_s: float = 0.0, timeout_s: float = 30
) -> AsyncIterator[RedisSlots]:
    """One process; with a clock of its own, time is simulated."""
    async with AsyncExitStack() as stack:
        client, listener = [
            await stack.enter_async_context(open_redis(server.url, timeout_s=timeout_s)) for _ in "ab"
        ]
        yield RedisSlots(
            client, listener, clock or SystemClock(),
            process=name, hold_s=hold_s, clock_in_redis=clock is None,
        )  # fmt: skip


async def reconnected(*processes: RedisSlots) -> None:
    """Each finds its connections broken, once for each; without joining."""
    for one in processes:
        for _ in range(2):
            with suppress(SlotsUnavailable):
                await one.promote("nothing")


async def test_a_process_that_falls_silent_loses_its_slots_and_places(server: RedisServer) -> None:
    clock = ManualClock()
    async with process(server, "a", clock) as dies, process(server, "b", clock) as lives:
        await lives.put("one", Capacity(1))
        await dies.join(ticket("x"), {})
        await dies.join(ticket("y"), {})
        mine = ticket("z")
        assert (await lives.join(mine, {})).position == 2
        for _ in range(4):
            clock.advance(1)
            await lives.beat()
        clock.advance(0.5)
        await lives.beat()
        assert isinstance(await lives.wait(mine.id, 0.01), Granted), "within five seconds"


async def test_a_grant_that_nobody_claims_passes_on(server: RedisServer) -> None:
    clock = ManualClock()
    async with process(server, "a", clock) as hangs, process(server, "b", clock) as lives:
        await lives.put("one", Capacity(1))
        running = ticket()
        await lives.join(running, {})
        slow, quick = ticket("x"), ticket("y")
        await hangs.join(slow, {})
        await lives.join(quick, {})
        await lives.leave(running.id)
        await lives.beat()
        assert isinstance(await lives.wait(quick.id, 0.01), Place), "it is the other's"
        clock.advance(0.6)
        await lives.beat()
        assert isinstance(await lives.wait(quick.id, 0.01), Granted)
        await hangs.hear(1.0)
        assert isinstance(await hangs.wait(slow.id, 0.01), Place), "it queues again, at its old turn"
        await lives.leave(quick.id)
        await hangs.hear(1.0)
        assert isinstance(await hangs.wait(slow.id, 0.01), Granted)


async def test_who_never_heard_of_a_grant_that_passed_on_joins_again(server: RedisServer) -> None:
    clock = ManualClock()
    async with process(server, "a", clock) as deaf, process(server, "b", clock) as lives:
        await lives.put("one", Capacity(1))
        running, waiting = ticket(), ticket("x")
        await lives.join(running, {})
        await deaf.join(waiting, {})
        await lives.leave(running.id)
        clock.advance(0.6)
        await lives.beat()
        assert not (await lives.view()).held_s["one"], "its grant has passed on"
        await deaf.beat()
        assert isinstance(await deaf.wait(waiting.id, 0.01), Granted)
        assert len((await lives.view()).held_s["one"]) == 1


async def test_grants_arrive_at_once_wherever_the_slot_came_free(server: RedisServer) -> None:
    async with process(server, "a") as here, process(server, "b") as there:
        listening = asyncio.ensure_future(there.listen())
        await here.put("one", Capacity(1))
        running, waiting = ticket(), ticket("y")
        await here.join(running, {})
        await there.join(waiting, {})
        asked = asyncio.ensure_future(there.wait(waiting.id, 30))
        await asyncio.sleep(0.05)
        await here.leave(running.id)
        assert isinstance(await asyncio.wait_for(asked, 5), Granted)
        listening.cancel()


async def test_redis_that_forgot_everything_is_told_before_anything_is_given_out(server: RedisServer) -> None:
    clock = ManualClock()
    async with process(server, "a", clock, hold_s=1.5) as a, process(server, "b", clock, hold_s=1.5) as b:
        await a.put("one", Capacity(2))
        held = [ticket("x"), ticket("y")]
        assert isinstance(await a.join(held[0], {}), Granted)
        assert isinstance(await b.join(held[1], {}), Granted)
        waits = ticket("w")
        assert isinstance(await b.join(waits, {}), Place)
        server.kill()
        server.start()
        clock.advance(0.5)
        await reconnected(a, b)
        await a.beat()
        early = ticket("new")
        assert isinstance(await a.join(early, {}), Place), "the other has not told yet"
        await b.beat()
        clock.advance(2)
        await a.beat()
        await b.beat()
        view = await a.view()
        assert len(view.held_s["one"]) == 2
        assert view.waiting == {"m": 2}
        await a.leave(held[0].id)
        await b.beat()
        assert isinstance(await b.wait(waits.id, 0.01), Granted), "who waited before goes first"
        assert isinstance(await a.wait(early.id, 0.01), Place)


@pytest.mark.parametrize("key", ["rows", "models:one", "state", "procs"])
async def test_a_key_that_redis_drops_when_it_is_full_costs_nobody_a_slot(
    server: RedisServer, key: str
) -> None:
    async with process(server, "a") as one, process(server, "b") as other:
        await one.put("one", Capacity(2, frozenset({"m"})))
        await one.view()
        await other.view()
        first = ticket()
        await one.join(first, {})
        await other._redis.delete(f"{PREFIX}:{key}")
        assert isinstance(await one.join(ticket(), {}), Granted)
        await one.leave(first.id)
        assert isinstance(await other.join(ticket(), {}), Granted)


@asynccontextmanager
async def linked(server: RedisServer, name: str) -> AsyncIterator[FallbackSlots]:
    async with process(server, name, timeout_s=0.3, hold_s=0.2) as shared:
        clock = SystemClock()
        slots = FallbackSlots(shared, Link(), clock)
        tasks = [asyncio.ensure_future(work) for work in (shared.listen(), slots.live(0.1))]
        await slots.beat()
        yield slots
        for task in tasks:
            task.cancel()


async def until(slots: FallbackSlots, *, shared: bool) -> None:
    async with asyncio.timeout(20):
        while (await slots.view()).shared != shared:
            await asyncio.sleep(0.05)


async def test_who_joins_while_its_process_tells_again_what_it_holds_stands_in_line_once(
    server: RedisServer,
) -> None:
    clock = ManualClock()
    async with process(server, "a", clock) as one:
        await one.put("i", Capacity(1))
        first = ticket()
        await one.join(first, {})
        server.forget()
        late = [ticket() for _ in range(8)]
        places = await asyncio.gather(*(one.join(late_one, {}) for late_one in late))
        assert all(isinstance(place, Place) for place in places)
        assert (await one.view()).waiting == {"m": 8}
        for waiting in (first, *late):
            await one.leave(waiting.id)
            await one.beat()
        view = await one.view()
        assert not view.waiting
        assert view.held_s == {"i": []}


async def test_a_server_that_is_back_fails_no_command_on_an_old_connection(server: RedisServer) -> None:
    async with process(server, "a") as one:
        await asyncio.gather(*(one.promote("nothing") for _ in range(20)))
        server.kill()
        with pytest.raises(SlotsUnavailable):
            await one.promote("nothing")
        server.start()
        await asyncio.gather(*(one.promote("nothing") for _ in range(20)))


async def test_while_redis_hangs_each_process_uses_its_share_and_goes_back_by_itself(
    server: RedisServer,
) -> None:
    async with linked(server, "a") as a, linked(server, "b") as b:
        await a.put("one", Capacity(2))
        await b.put("one", Capacity(2))
        before, beside, queued = ticket("x"), ticket("y"), ticket("q")
        await a.join(before, {})
        await a.join(beside, {})
        assert isinstance(await a.join(queued, {}), Place)
        assert (await a.view()).processes == 2
        server.hang()
        await until(a, shared=False)
        during = ticket("z")
        assert isinstance(await asyncio.wait_for(a.join(during, {}), 1), Place), (
            "it holds more than its share"
        )
        await a.leave(before.id)
        assert isinstance(await a.wait(during.id, 0.05), Place)
        await a.leave(beside.id)
        assert isinstance(await a.wait(during.id, 0.05), Granted), "its share is one slot"
        more = ticket("z")
        assert isinstance(await a.join(more, {}), Place)
        await a.wait(queued.id, 0.05)
        assert isinstance(await asyncio.wait_for(b.join(ticket("other"), {}), 1), Granted)
        server.go_on()
        await until(a, shared=True)
        async with asyncio.timeout(20):
            while len((await b.view()).held_s["one"]) != 2:
                await asyncio.sleep(0.05)
            await a.leave(during.id)
            got: list[Ticket] = []
            while not got:
                for one in (queued, more):
                    if isinstance(await a.wait(one.id, 0.05), Granted):
                        got.append(one)


async def test_the_board_is_shared_and_no_change_is_lost(server: RedisServer) -> None:
    async with open_redis(server.url, timeout_s=30) as one, open_redis(server.url, timeout_s=30) as two:
        boards = [RedisNotes(one, process="a"), RedisNotes(two, process="b")]

        async def count(board: RedisNotes) -> None:
            for _ in range(20):
                await board.change("kind", "n", lambda note: {"n": (note or {"n": 0})["n"] + 1})

        await asyncio.gather(*(count(board) for board in boards))
        assert await boards[0].read("kind") == {"n": {"n": 40}}
        assert await boards[0].lead("task", 5)
        assert not await boards[1].lead("task", 5)
        assert await boards[0].lead("task", 5)
        await boards[0].change("kind", "n", lambda _: None)
        assert await boards[1].read("kind") == {}


async def test_while_redis_is_away_the_board_is_a_copy(server: RedisServer) -> None:
    async with open_redis(server.url, timeout_s=0.3) as client:
        shared, link = RedisNotes(client, process="a"), Link()
        board = FallbackNotes(shared, link)
        await board.change("kind", "n", lambda _: {"n": 1})
        await board.read("kind")
        server.kill()
        with pytest.raises(SlotsUnavailable):
            await shared.read("kind")
        assert await board.read("kind") == {"n": {"n": 1}}
        await board.change("kind", "n", lambda _: {"n": 2})
        assert (await board.read("kind"))["n"] == {"n": 2}
        assert await board.lead("task", 5)
        assert not link.is_up
        server.start()


async def test_a_command_that_is_cancelled_does_not_go_on(server: RedisServer) -> None:
    async with open_redis(server.url, timeout_s=30) as client:

        async def for_ever() -> None:
            while True:
                await client.ping()

        await client.ping()
        for turns in range(1, 12):
            task = asyncio.ensure_future(for_ever())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task], timeout=5)
            assert task.done(), f"after {turns} turns of the loop"


async def test_a_process_that_stood_still_does_not_take_redis_for_dead(server: RedisServer) -> None:
    async with open_redis(server.url, timeout_s=0.4) as client:
        await client.ping()
        server.hang()
        asked = asyncio.ensure_future(client.ping())
        await asyncio.sleep(0.05)
        server.go_on()
        time.sleep(0.5)
        assert await asked
        server.hang()
        with pytest.raises(RedisTimeoutError):
            await client.ping()


async def test_who_waited_in_redis_waits_on_when_it_goes_away_however_long_the_queue(
    server: RedisServer,
) -> None:
    async with process(server, "a", timeout_s=0.3) as shared:
        slots = FallbackSlots(shared, Link(), SystemClock(), queue_limit=1)
        await slots.beat()
        await slots.put("one", Capacity(1))
        running, waiting = ticket(), [ticket(f"w{n}", tag=0.0) for n in range(3)]
        await slots.join(running, {})
        for one in waiting:
            await slots.join(one, {})
        server.hang()
        places = [await slots.wait(one.id, 0.01) for one in waiting]
        assert all(isinstance(place, Place) for place in places)
        server.go_on()
