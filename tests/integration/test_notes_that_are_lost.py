"""Notes that Redis loses are told again by whoever knew them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest

from backend.core.errors import SlotsUnavailable
from backend.infra.redis import open_redis
from backend.pool.fallback import FallbackNotes, Link
from backend.pool.shared_notes.redis import PREFIX, RedisNotes
from tests.support.redis_server import RedisServer, redis_server


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@asynccontextmanager
async def boards(server: RedisServer, many: int) -> AsyncIterator[list[RedisNotes]]:
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(open_redis(server.url, timeout_s=5)) for _ in range(many)]
        yield [RedisNotes(client, process=str(n)) for n, client in enumerate(clients)]


async def restarted(server: RedisServer, *used: RedisNotes) -> None:
    server.kill()
    server.start()
    for board in used:
        for _ in range(2):
            with suppress(SlotsUnavailable):
                await board.lead("nothing", 0.001)


@pytest.mark.parametrize("how", ["restarted", "flushed", "evicted"])
async def test_what_redis_lost_is_there_again_at_the_next_read(server: RedisServer, how: str) -> None:
    async with boards(server, 2) as (one, other):
        await one.change("seen", "a", lambda _: {"models": ["m"]})
        await other.change("seen", "b", lambda _: {"models": ["n"]})
        await one.read("seen")
        await other.read("seen")
        if how == "restarted":
            await restarted(server, one, other)
        elif how == "flushed":
            server.forget()
        else:
            await one._redis.delete(f"{PREFIX}:seen")
        both = {"a": {"models": ["m"]}, "b": {"models": ["n"]}}
        assert await one.read("seen") == both
        assert await other.read("seen") == both
        await one.change("seen", "a", lambda _: None)
        assert await other.read("seen") == {"b": both["b"]}, "a note that was taken away stays away"
        assert await one.read("seen") == {"b": both["b"]}


async def test_a_change_after_the_loss_begins_from_what_was_known(server: RedisServer) -> None:
    async with boards(server, 2) as (one, other):
        await one.change("seen", "a", lambda _: {"models": ["m"]})
        await one.change("seen", "b", lambda _: {"models": ["n"]})
        server.forget()
        await one.change("seen", "a", lambda note: {**(note or {}), "speed": 9})
        both = {"a": {"models": ["m"], "speed": 9}, "b": {"models": ["n"]}}
        assert await one.read("seen") == both
        assert await other.read("seen") == both, "who knew nothing learns it"


async def test_what_a_newcomer_wrote_meanwhile_counts_and_the_rest_is_added(server: RedisServer) -> None:
    async with boards(server, 2) as (old, new):
        await old.change("seen", "a", lambda _: {"models": ["m"], "speed": 1})
        await old.change("seen", "b", lambda _: {"models": ["n"]})
        server.forget()
        await new.change("seen", "a", lambda _: {"speed": 9})
        whole = {"a": {"models": ["m"], "speed": 9}, "b": {"models": ["n"]}}
        assert await old.read("seen") == whole
        assert await new.read("seen") == whole


async def test_a_redis_that_comes_back_with_old_notes_is_told_the_later_ones(server: RedisServer) -> None:
    async with boards(server, 2) as (one, other):
        await one.change("instances", "added", lambda _: {"state": "active"})
        await one.change("instances", "drained", lambda _: {"state": "active"})
        saved = await one._redis.hgetall(f"{PREFIX}:instances")
        await one.change("instances", "added", lambda _: None)
        await one.change("instances", "drained", lambda _: {"state": "draining"})
        await other.read("instances")
        server.forget()
        await one._redis.hset(f"{PREFIX}:instances", mapping=saved)
        for board in (one, other, one):
            assert await board.read("instances") == {"drained": {"state": "draining"}}


async def test_what_was_learned_while_redis_was_away_is_told_when_it_comes_back_empty(
    server: RedisServer,
) -> None:
    async with open_redis(server.url, timeout_s=0.5) as client:
        link = Link()
        board = FallbackNotes(RedisNotes(client, process="a"), link)
        await board.change("seen", "a", lambda _: {"n": 1})
        server.kill()
        await board.change("seen", "a", lambda note: {"n": (note or {"n": 0})["n"] + 1})
        await board.change("seen", "b", lambda _: {"n": 7})
        assert not link.is_up
        server.start()
        link.found()
        assert await board.read("seen") == {"a": {"n": 2}, "b": {"n": 7}}


async def test_what_was_learned_before_redis_was_ever_there_is_told(server: RedisServer) -> None:
    async with open_redis(server.url, timeout_s=0.5) as client:
        link = Link(is_up=False)
        board = FallbackNotes(RedisNotes(client, process="a"), link)
        await board.change("seen", "a", lambda _: {"n": 1})
        link.found()
        assert await board.read("seen") == {"a": {"n": 1}}


async def test_many_who_change_and_lose_at_once_lose_nothing(server: RedisServer) -> None:
    async with boards(server, 3) as three:

        async def count(board: RedisNotes, name: str) -> None:
            for n in range(30):
                await board.change("seen", name, lambda note: {"n": (note or {"n": 0})["n"] + 1})
                await board.read("seen")
                if n == 15 and name == "0":
                    server.forget()

        await asyncio.gather(*(count(board, str(n)) for n, board in enumerate(three)))
        counted = await three[0].read("seen")
        assert {name: note["n"] >= 29 for name, note in counted.items()} == dict.fromkeys("012", True)


async def test_hundreds_of_changes_of_one_note_at_once_take_few_steps_and_all_count(
    server: RedisServer,
) -> None:
    async with boards(server, 3) as three:
        await three[0].change("health", "a", lambda _: {"n": 0})
        before = (await three[0]._redis.info("stats"))["total_commands_processed"]
        counted = [
            board.change("health", "a", lambda note: {"n": note["n"] + 1})
            for board in three
            for _ in range(200)
        ]
        given_up = asyncio.ensure_future(counted.pop())
        async with asyncio.timeout(20):
            seen = await asyncio.gather(*counted, asyncio.to_thread(given_up.cancel))
        assert sorted(note["n"] for note in seen[:-1])[0] == 1
        assert (await three[0].read("health"))["a"]["n"] in (599, 600)
        after = (await three[0]._redis.info("stats"))["total_commands_processed"]
        assert after - before < 100


ODD = ["no JSON", "[1, 2]", "7", "null", '"text"', "{", "{}", "[" * 100_000, b"\xff\xfe"]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("field", ["a", "", "b"])
async def test_what_is_no_note_of_ours_stops_nobody(
    server: RedisServer, odd: str | bytes, field: str
) -> None:
    async with boards(server, 2) as (one, other):
        await one._redis.hset(f"{PREFIX}:seen", field, odd)
        assert await one.read("seen") == {}
        assert await one.change("seen", "a", lambda note: {"was": note}) == {"was": None}
        assert await other.read("seen") == {"a": {"was": None}}
        await one._redis.hset(f"{PREFIX}:seen", field, odd)
        for board in (one, other):
            await board.read("seen")
            await board.change("seen", "c", lambda _: {"n": 1})
            assert (await board.read("seen"))["c"] == {"n": 1}


async def test_what_is_no_hash_is_taken_away_and_told_again(server: RedisServer) -> None:
    async with boards(server, 2) as (one, other):
        await one.change("seen", "a", lambda _: {"n": 1})
        await one._redis.set(f"{PREFIX}:seen", "something else")
        assert await other.read("seen") == {}
        assert await one.read("seen") == {"a": {"n": 1}}
        await one._redis.set(f"{PREFIX}:seen", "something else")
        await one.change("seen", "b", lambda _: {"n": 2})
        assert await other.read("seen") == {"a": {"n": 1}, "b": {"n": 2}}
