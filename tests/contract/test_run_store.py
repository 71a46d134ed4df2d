"""What every store of runs promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from backend.chat.base import Idempotency, Run, RunStore
from backend.chat.memory import MemoryRuns
from backend.chat.redis import RedisRuns
from backend.core.errors import Conflict, NotFound
from backend.generations.base import GenerationId
from backend.history.base import Owner
from backend.infra.redis import open_redis
from tests.support.manual_clock import ManualClock
from tests.support.redis_server import RedisServer, redis_server

ANN, BOB = Owner("t", "ann"), Owner("t", "bob")
KEY = Idempotency("k", "digest of the question")
Make = Callable[..., RunStore]
Pass = Callable[[float], Awaitable[None]]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture(params=["memory", "redis"])
async def make(request: pytest.FixtureRequest, clock: ManualClock) -> AsyncIterator[Make]:
    """A new, empty store with the bounds that a test needs."""

    def in_memory(**options) -> MemoryRuns:
        return MemoryRuns(clock, **{"retention_s": 600.0, **options})

    if request.param == "memory":
        yield in_memory
        return
    running = request.getfixturevalue("server")
    async with open_redis(running.url, timeout_s=30) as client:

        def in_redis(**options) -> RedisRuns:
            running.forget()
            return RedisRuns(client, in_memory(**options))

        yield in_redis


@pytest.fixture
def passes(request: pytest.FixtureRequest, clock: ManualClock) -> Pass:
    """So many seconds pass for the store."""

    async def advance(seconds: float) -> None:
        clock.advance(seconds)
        if "redis" in request.node.callspec.id:
            async with open_redis(request.getfixturevalue("server").url, timeout_s=30) as client:
                async for key in client.scan_iter():
                    await client.pexpire(key, max(0, await client.pttl(key) - int(1000 * seconds)))

    return advance


def a_run(run: str = "r1", owner: Owner = ANN) -> Run:
    return Run(run, owner, GenerationId("g"), "c1", joined=True, unsure=True)


async def test_a_run_is_its_owners_alone(make: Make) -> None:
    store = make()
    assert await store.claim(ANN, "r1", None) is None
    await store.put(a_run())
    assert await store.get(ANN, "r1") == a_run()
    for owner, run in ((BOB, "r1"), (Owner("u", "ann"), "r1"), (ANN, "r2")):
        with pytest.raises(NotFound):
            await store.get(owner, run)


async def test_the_same_key_with_the_same_question_is_the_same_run(make: Make) -> None:
    store = make()
    assert await store.claim(ANN, "r1", KEY) is None
    await store.put(a_run())
    assert await store.claim(ANN, "r2", KEY) == a_run()


async def test_the_same_key_with_another_question_is_refused_even_while_the_first_starts(make: Make) -> None:
    store = make()
    assert await store.claim(ANN, "r1", KEY) is None
    for _ in range(2):
        with pytest.raises(Conflict):
            await store.claim(ANN, "r2", Idempotency("k", "another"))
        await store.put(a_run())


async def test_a_key_is_its_owners_alone(make: Make) -> None:
    store = make()
    for owner, run in ((ANN, "r1"), (BOB, "r2"), (Owner("u", "ann"), "r3")):
        assert await store.claim(owner, run, KEY) is None


async def test_who_repeats_a_request_that_is_starting_waits_for_it(make: Make) -> None:
    store = make()
    assert await store.claim(ANN, "r1", KEY) is None
    again = [asyncio.ensure_future(store.claim(ANN, f"again{n}", KEY)) for n in range(3)]
    await asyncio.sleep(0.01)
    assert not any(task.done() for task in again)
    await store.put(a_run())
    async with asyncio.timeout(10):
        assert await asyncio.gather(*again) == [a_run()] * 3


async def test_where_the_first_does_not_start_one_of_the_others_does(make: Make) -> None:
    store = make()
    assert await store.claim(ANN, "r1", KEY) is None
    again = [asyncio.ensure_future(store.claim(ANN, f"again{n}", KEY)) for n in range(3)]
    await asyncio.sleep(0.01)
    await store.release(ANN, "r1", KEY)
    async with asyncio.timeout(10):
        done, waiting = await asyncio.wait(again, return_when=asyncio.FIRST_COMPLETED)
        assert [task.result() for task in done] == [None]
        (starts,) = [n for n, task in enumerate(again) if task in done]
        await store.put(a_run(f"again{starts}"))
        assert await asyncio.gather(*waiting) == [a_run(f"again{starts}")] * 2


async def test_who_waits_too_long_for_the_first_is_told_so(make: Make) -> None:
    store = make(starting_s=0.5)
    await store.claim(ANN, "r1", KEY)
    with pytest.raises(Conflict):
        await store.claim(ANN, "r2", KEY)


async def test_a_run_that_did_not_start_is_not_there_and_its_key_is_free(make: Make) -> None:
    store = make()
    await store.claim(ANN, "r1", KEY)
    await store.release(ANN, "r1", KEY)
    with pytest.raises(NotFound):
        await store.get(ANN, "r1")
    assert await store.claim(ANN, "r2", Idempotency("k", "another")) is None


async def test_releasing_late_takes_nobody_elses_key(make: Make) -> None:
    store = make()
    await store.claim(ANN, "r1", KEY)
    await store.release(ANN, "r1", KEY)
    await store.claim(ANN, "r2", KEY)
    await store.release(ANN, "r1", KEY)
    await store.put(a_run("r2"))
    assert await store.claim(ANN, "r3", KEY) == a_run("r2")


async def test_runs_and_keys_are_forgotten_after_their_retention(make: Make, passes: Pass) -> None:
    store = make(retention_s=60.0)
    await store.claim(ANN, "r1", KEY)
    await store.put(a_run())
    await passes(59)
    assert await store.claim(ANN, "r2", KEY) == a_run()
    await passes(2)
    assert await store.claim(ANN, "r3", KEY) is None
    with pytest.raises(NotFound):
        await store.get(ANN, "r1")
