"""Two processes, one Redis: one run for each idempotency key, and every run found from everywhere."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from backend.chat import redis as shared
from backend.chat.base import Idempotency, Run
from backend.chat.memory import MemoryRuns
from backend.chat.redis import RedisRuns
from backend.core.clock import SystemClock
from backend.core.errors import Conflict, LogUnavailable, NotFound
from backend.generations.base import GenerationId
from backend.history.base import Owner
from backend.infra.redis import open_redis
from tests.support.redis_server import RedisServer, redis_server

ANN, BOB = Owner("t", "ann"), Owner("t", "bob")
KEY = Idempotency("k", "digest of the question")
TIMEOUT_S = 0.6


@pytest.fixture(scope="module")
def the_server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture
def server(the_server: RedisServer) -> Iterator[RedisServer]:
    yield the_server
    the_server.go_on()
    with suppress(OSError):
        the_server.forget()
        return
    the_server.start()


@pytest.fixture
async def process(server: RedisServer) -> AsyncIterator[Callable]:
    """A store as another process has it."""
    async with AsyncExitStack() as stack:

        async def opened(**options) -> RedisRuns:
            client = await stack.enter_async_context(open_redis(server.url, timeout_s=TIMEOUT_S))
            store = RedisRuns(client, MemoryRuns(SystemClock(), **{"retention_s": 600.0, **options}))
            await store.beat()
            return store

        yield opened


@pytest.fixture
async def raw(server: RedisServer) -> AsyncIterator[Redis]:
    async with open_redis(server.url, timeout_s=10) as client:
        yield client


def a_run(run: str = "r1", owner: Owner = ANN) -> Run:
    return Run(run, owner, GenerationId("g"), "c1", joined=True, unsure=True)


async def test_a_run_that_one_process_started_any_other_knows_and_nobody_elses(process: Callable) -> None:
    here, there = await process(), await process()
    await here.claim(ANN, "r1", None)
    await here.put(a_run())
    assert await there.get(ANN, "r1") == a_run()
    for owner, run in ((BOB, "r1"), (Owner("u", "ann"), "r1"), (ANN, "r2")):
        with pytest.raises(NotFound):
            await there.get(owner, run)


@pytest.mark.parametrize("run", ["", " ", "r1}", "*", "r" * 65, "é", "\ud800", "a\r\nGET x", "{run:r1}"])
async def test_what_is_no_id_is_nobodys_run_whatever_redis_does(process: Callable, run: str) -> None:
    store = await process()
    with pytest.raises(NotFound):
        await store.get(ANN, run)
    store._is_up = False
    with pytest.raises(NotFound):
        await store.get(ANN, run)


async def test_the_same_key_at_two_processes_at_once_starts_one_run(process: Callable) -> None:
    stores = [await process() for _ in range(3)]

    async def started(store: RedisRuns, run: str) -> Run:
        if earlier := await store.claim(ANN, run, KEY):
            return earlier
        await asyncio.sleep(0.05)
        await store.put(a_run(run))
        return a_run(run)

    asked = [started(store, f"r{n}x{m}") for n, store in enumerate(stores) for m in range(5)]
    runs = await asyncio.gather(*asked)
    assert len({run.id for run in runs}) == 1


async def test_another_question_with_the_same_key_is_refused_at_any_process(process: Callable) -> None:
    here, there = await process(), await process()
    await here.claim(ANN, "r1", KEY)
    for _ in range(2):
        with pytest.raises(Conflict):
            await there.claim(ANN, "r2", replace(KEY, body="another"))
        await here.put(a_run())
    assert await there.claim(BOB, "r3", replace(KEY, body="another")) is None


async def test_a_key_whose_process_died_while_it_started_is_free_again(
    process: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "LEASE_S", 0.3)
    dead, alive = await process(), await process()
    assert await dead.claim(ANN, "r1", KEY) is None
    assert await alive.claim(ANN, "r2", KEY) is None, "long before it would give up"
    await alive.put(a_run("r2"))
    await dead.put(a_run("r1"))
    assert await (await process()).claim(ANN, "r3", KEY) == a_run("r2"), "who comes back late takes nothing"


async def test_a_key_is_kept_while_its_process_lives_however_long_it_starts(
    process: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "LEASE_S", 0.6)
    slow, other = await process(), await process(starting_s=1.5)
    assert await slow.claim(ANN, "r1", KEY) is None
    waiting = asyncio.ensure_future(other.claim(ANN, "r2", KEY))
    async with asyncio.timeout(20):
        while not waiting.done():
            await slow.beat()
            await asyncio.sleep(0.1)
    with pytest.raises(Conflict):
        await waiting
    assert not other._own.starting()


async def test_a_key_that_was_given_back_is_the_next_ones_at_any_process(process: Callable) -> None:
    here, there = await process(), await process()
    await here.claim(ANN, "r1", KEY)
    waiting = asyncio.ensure_future(there.claim(ANN, "r2", KEY))
    await asyncio.sleep(0.05)
    await here.release(ANN, "r1", KEY)
    assert await waiting is None
    await here.release(ANN, "r1", KEY)
    await there.put(a_run("r2"))
    assert await here.claim(ANN, "r3", KEY) == a_run("r2")


async def test_a_wait_that_is_cancelled_leaves_nothing_behind(process: Callable) -> None:
    here, there = await process(), await process()
    await here.claim(ANN, "r1", KEY)
    waiting = asyncio.ensure_future(there.claim(ANN, "r2", KEY))
    await asyncio.sleep(0.05)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not there._own.starting()
    await here.put(a_run())
    assert await there.claim(ANN, "r3", KEY) == a_run()


@pytest.mark.parametrize("fault", ["killed", "hung"])
async def test_while_redis_is_away_a_process_serves_what_it_knows_and_says_so_of_the_rest(
    process: Callable, server: RedisServer, fault: str
) -> None:
    here, there = await process(), await process()
    await here.put(a_run("known"))
    await there.put(a_run("elsewhere"))
    server.kill() if fault == "killed" else server.hang()
    began = time.monotonic()
    assert await here.get(ANN, "known") == a_run("known")
    with pytest.raises(LogUnavailable) as said:
        await here.get(ANN, "elsewhere")
    assert said.value.retry_after_s
    with pytest.raises(NotFound):
        await here.get(BOB, "known")
    assert await here.claim(ANN, "r1", KEY) is None
    again = asyncio.ensure_future(here.claim(ANN, "r2", KEY))
    await here.put(a_run("r1"))
    assert await again == a_run("r1")
    await here.claim(ANN, "r3", replace(KEY, key="other"))
    await here.release(ANN, "r3", replace(KEY, key="other"))
    for _ in range(20):
        with pytest.raises(LogUnavailable):
            await here.get(ANN, uuid4().hex)
    assert time.monotonic() - began < 20 * TIMEOUT_S, "nobody waits for it twice"


@pytest.mark.parametrize("fault", ["restarted empty", "emptied", "hung"])
async def test_when_redis_is_back_the_others_hear_of_every_run_that_lives(
    process: Callable, server: RedisServer, fault: str
) -> None:
    here, there = await process(), await process()
    early = [f"early{n}" for n in range(30)]
    for run in early:
        await here.claim(ANN, run, replace(KEY, key=run))
        await here.put(a_run(run))
    await there.get(ANN, "early0")
    if fault == "hung":
        server.hang()
    elif fault == "emptied":
        server.forget()
    else:
        server.kill()
    if fault != "emptied":
        await here.claim(ANN, "meanwhile", replace(KEY, key="meanwhile"))
        await here.put(a_run("meanwhile"))
    if fault == "restarted empty":
        server.start()
    server.go_on()
    for run in early[1:3]:
        with suppress(LogUnavailable):
            await there.get(ANN, run)  # never "there is no such run"
    async with asyncio.timeout(30):
        while not (here._is_up and await _knows(there, early[-1])):
            await here.beat()
            await there.beat()
            await asyncio.sleep(0.01)
    for run in [*early, *(["meanwhile"] if fault != "emptied" else [])]:
        assert await there.get(ANN, run) == a_run(run)
        assert await there.claim(ANN, "new", replace(KEY, key=run)) == a_run(run)
    newcomer = await process()
    assert await newcomer.get(ANN, "early0") == a_run("early0")
    with pytest.raises(NotFound):
        await newcomer.get(ANN, "r2")


async def _knows(store: RedisRuns, run: str) -> bool:
    try:
        return bool(await store.get(ANN, run))
    except LogUnavailable:
        return False


async def test_a_run_that_was_only_read_is_told_again_too(process: Callable, server: RedisServer) -> None:
    dead, reader = await process(), await process()
    await dead.put(a_run())
    await reader.get(ANN, "r1")
    server.forget()
    await reader.beat()
    assert await (await process()).get(ANN, "r1") == a_run()


async def test_a_single_run_that_redis_drops_is_told_again(process: Callable, raw: Redis) -> None:
    here, there = await process(), await process()
    await here.put(a_run())
    await raw.delete("libri:{run:r1}")
    await here.beat()
    assert await there.get(ANN, "r1") == a_run()


@pytest.mark.parametrize("odd", ["{", "{}", "7", '{"id": "r1"}', "[" * 9999, b"\xff\xfe"])
async def test_what_is_no_run_of_ours_stops_nobody(process: Callable, raw: Redis, odd: str | bytes) -> None:
    here, there = await process(), await process()
    await raw.set("libri:{run:r1}", odd)
    with pytest.raises(NotFound):
        await there.get(ANN, "r1")
    await here.claim(ANN, "r1", KEY)
    await here.put(a_run())
    assert await there.get(ANN, "r1") == a_run()
    (key,) = [key async for key in raw.scan_iter("libri:{claim:*")]
    await raw.hset(key, "kept", odd)
    assert await (await process()).claim(ANN, "r2", KEY) is None


@pytest.mark.parametrize("key", ["libri:{run:r1}", "claim", shared.AGE])
async def test_what_is_of_another_kind_stops_nobody(process: Callable, raw: Redis, key: str) -> None:
    here, there = await process(), await process()
    await here.claim(ANN, "r1", KEY)
    await here.put(a_run())
    if key == "claim":
        (key,) = [key async for key in raw.scan_iter("libri:{claim:*")]
    await raw.delete(key)
    await raw.lpush(key, "something else")
    with suppress(LogUnavailable, NotFound):
        await there.get(ANN, "r1")
    for _ in range(2):
        await here.beat()
        await there.beat()
    await here.put(a_run("r5"))
    assert await there.get(ANN, "r5") == a_run("r5")
    assert await there.claim(ANN, "r2", KEY) in (None, a_run())


async def test_a_store_that_refuses_to_write_is_away(process: Callable, raw: Redis) -> None:
    here = await process()
    await raw.config_set("maxmemory", "1")
    try:
        assert await here.claim(ANN, "r1", KEY) is None
        await here.put(a_run())
        assert await here.get(ANN, "r1") == a_run()
        await here.beat()
    finally:
        await raw.config_set("maxmemory", "0")
    await here.beat()
    assert await (await process()).get(ANN, "r1") == a_run()


async def test_nothing_stays_for_ever(process: Callable, raw: Redis) -> None:
    here = await process(retention_s=30.0)
    await here.claim(ANN, "r1", KEY)
    await here.put(a_run())
    await here.claim(ANN, "r2", replace(KEY, key="starting"))
    left = {key: await raw.pttl(key) for key in await raw.keys("*")}
    assert len(left) == 4
    for key, left_ms in left.items():
        longest = shared._AGE_KEPT_MS if key == shared.AGE else 30_001
        assert 0 < left_ms <= longest, key
