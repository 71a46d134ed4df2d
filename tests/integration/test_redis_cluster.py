"""One client for one server and for a cluster: who has which key is found out by asking."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from backend.core.clock import SystemClock
from backend.infra.redis import open_redis
from backend.infra.redis_routes import RoutedRedis
from backend.pool.shared_notes.redis import RedisNotes
from backend.pool.slots.base import Capacity, Granted, Place, Ticket
from backend.pool.slots.redis import RedisSlots
from tests.support.redis_server import RedisCluster, RedisServer, redis_cluster, redis_server

MANY = [f"libri:{{tag {n}}}:log" for n in range(40)]
"""Enough keys for every server to have some."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    with redis_cluster() as running:
        yield running


@pytest.fixture(scope="module")
def single() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture(params=["cluster", "one of its nodes", "single"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[RoutedRedis]:
    if request.param == "single":
        servers = [request.getfixturevalue("single")]
    else:
        servers = request.getfixturevalue("cluster").servers
    for server in servers:
        server.forget()
    urls = [server.url for server in servers]
    async with open_redis(urls[-1] if "one" in request.param else ",".join(urls), timeout_s=5) as opened:
        yield opened


async def test_every_key_is_written_and_read_where_it_belongs(client: RoutedRedis) -> None:
    for key in MANY:
        assert await client.set(key, key)
    assert await asyncio.gather(*(client.get(key) for key in MANY)) == MANY


async def test_a_pipeline_holds_the_keys_of_all_servers_in_order(client: RoutedRedis) -> None:
    for _ in range(2):
        pipeline = client.pipeline(transaction=False)
        for key in MANY:
            pipeline.xadd(key, {"text": key}, id="*").publish("hints", key)
        pipeline.get("none").xadd(MANY[0], {"text": "late"}, id="0-1")
        answers = await pipeline.execute(raise_on_error=False)
        assert answers[-2] is None
        assert isinstance(answers.pop(), ResponseError), "an error is the answer of its own command"
        assert all(not isinstance(answer, Exception) for answer in answers)
        assert len(pipeline) == 0
    assert [await client.xlen(key) for key in MANY] == [2] * len(MANY)


async def test_scripts_run_alone_and_in_pipelines_and_are_loaded_where_they_are_missing(
    client: RoutedRedis,
) -> None:
    script = client.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    assert [await script(keys=[key], args=[2]) for key in MANY] == [2] * len(MANY)
    await client.script_flush()
    pipeline = client.pipeline(transaction=False)
    for key in MANY:
        await script(keys=[key], args=[3], client=pipeline)
    assert await pipeline.execute() == [5] * len(MANY)


async def test_a_transaction_is_of_one_slot(client: RoutedRedis) -> None:
    key = MANY[7]
    for _ in range(2):
        pipeline = client.pipeline(transaction=True)
        pipeline.set(key, "x", px=9000).get(key)
        assert await pipeline.execute() == [True, "x"]
    if len(client.routes.nodes) > 1:
        pipeline = client.pipeline(transaction=True)
        for other in MANY:
            pipeline.get(other)
        with pytest.raises(RedisError):
            await pipeline.execute()


async def test_blocking_reads_and_streams_go_to_who_has_the_key(client: RoutedRedis) -> None:
    for key in MANY[:9]:
        await client.rpush(key, "first")
        assert await client.blpop([key], timeout=1) == (key, "first")
        await client.xadd(key, {"a": "b"}, id="1-1")
        assert await client.xread({key: "0-0"}, block=100) == [[key, [("1-1", {"a": "b"})]]]


async def test_what_is_published_is_heard_whoever_has_the_channel(client: RoutedRedis) -> None:
    async with client.pubsub(ignore_subscribe_messages=True) as heard:
        await heard.subscribe(*MANY[:6])
        for channel in MANY[:6]:
            pipeline = client.pipeline(transaction=False)
            await pipeline.publish(channel, "new").get(channel).execute()
            message = None
            while message is None:
                message = await heard.get_message(timeout=5)
            assert (message["channel"], message["data"]) == (channel, "new")


async def test_slots_that_move_are_followed(cluster: RedisCluster) -> None:
    key, value = MANY[0], "kept"
    async with open_redis(cluster.url, timeout_s=5) as client, open_redis(cluster.url, timeout_s=5) as other:
        await client.set(key, value)
        await other.get(key)
        slot = key_slot(key.encode())
        source = await client.node_of(key)
        target = next(node for node in client.routes.nodes if node is not source)
        try:
            await _begin_moving(slot, source, target)
            assert await other.get(key) == value, "before it has moved"
            await source.execute_command("MIGRATE", *target.address, key, 0, 5000)
            assert await other.get(key) == value, "while its slot is on the way"
            pipeline = other.pipeline(transaction=False)
            assert await pipeline.get(key).execute() == [value]
            await _end_moving(slot, target, client)
            assert await other.get(key) == value, "after it has moved"
            assert await other.node_of(key) is not source
            assert (await other.node_of(key)).address == target.address
        finally:
            await client.delete(key)
            await _begin_moving(slot, target, source)
            await _end_moving(slot, source, client)


async def _begin_moving(slot: int, source: Redis, target: Redis) -> None:
    ids = [await one.execute_command("CLUSTER MYID") for one in (source, target)]
    await target.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", ids[0])
    await source.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", ids[1])


async def _end_moving(slot: int, target: Redis, client: RoutedRedis) -> None:
    owner = await target.execute_command("CLUSTER MYID")
    for node in (target, *[one for one in client.routes.nodes if one is not target]):
        await node.execute_command("CLUSTER SETSLOT", slot, "NODE", owner)


@asynccontextmanager
async def one_away(cluster: RedisCluster, how: str) -> AsyncIterator[None]:
    server = cluster.servers[0]
    if how == "killed":
        server.kill()
    else:
        server.hang()
    try:
        yield
    finally:
        if how == "killed":
            server.start()
        server.go_on()
        await asyncio.to_thread(cluster.wait_until_whole)


@pytest.mark.parametrize("how", ["killed", "hung"])
async def test_a_server_that_is_away_fails_its_own_keys_alone_and_in_time(
    cluster: RedisCluster, how: str
) -> None:
    async with (
        open_redis(cluster.url, timeout_s=0.5) as client,
        open_redis(cluster.url, timeout_s=0.5) as new,
    ):
        for key in MANY:
            await client.set(key, "x")
        homes = {key: (await client.node_of(key)).address[1] for key in MANY}
        lost = {key for key, port in homes.items() if port == cluster.servers[0].port}
        assert 0 < len(lost) < len(MANY)
        async with one_away(cluster, how):
            for used in (client, new):
                began = time.monotonic()
                pipeline = used.pipeline(transaction=False)
                for key in MANY:
                    pipeline.exists(key)
                answers = dict(zip(MANY, await pipeline.execute(raise_on_error=False), strict=True))
                away = {key for key, one in answers.items() if isinstance(one, Exception)}
                assert away == lost
                assert time.monotonic() - began < 5
                for key in MANY:
                    if key in lost:
                        with pytest.raises((RedisConnectionError, RedisTimeoutError, ResponseError)):
                            await used.get(key)
                        break
                async with used.pubsub() as heard:
                    await heard.subscribe("hints")
                    assert await heard.get_message(timeout=5), "where to listen moves on too"
                assert [await used.get(key) for key in MANY if key not in lost] == ["x"] * (
                    len(MANY) - len(lost)
                )
        async with asyncio.timeout(30):
            while True:
                try:
                    await asyncio.gather(*(used.set(key, "y") for used in (client, new) for key in lost))
                except RedisError:
                    await asyncio.sleep(0.1)
                else:
                    break


async def test_several_servers_that_are_no_cluster_are_refused(single: RedisServer) -> None:
    url = f"{single.url},{single.url.replace('127.0.0.1', 'localhost')}"
    async with open_redis(url, timeout_s=5) as client:
        for _ in range(2):
            with pytest.raises(RedisError, match="none of several"):
                await client.get("key")


async def test_where_all_are_away_a_command_fails_in_time() -> None:
    async with open_redis("redis://127.0.0.1:1,redis://127.0.0.1:2", timeout_s=0.5) as client:
        for _ in range(3):
            with pytest.raises((RedisError, OSError)):
                await client.get("key")


async def test_slots_and_shared_notes_stand_on_a_cluster(cluster: RedisCluster) -> None:
    clock = SystemClock()
    async with AsyncExitStack() as stack:

        async def process(name: str, url: str) -> tuple[RedisSlots, RedisNotes]:
            used, listener = [await stack.enter_async_context(open_redis(url, timeout_s=9)) for _ in "ab"]
            slots = RedisSlots(used, listener, clock, process=name, hold_s=0)
            await slots.beat()
            return slots, RedisNotes(used, process=name)

        here, own_notes = await process("here", cluster.servers[0].url)
        there, other_notes = await process("there", cluster.url)
        await here.put("gpu", Capacity(1, ready=frozenset({"m"})))
        first = await here.join(Ticket("t1", "m", "ann", 60.0), {})
        assert isinstance(first, Granted)
        assert isinstance(await there.join(Ticket("t2", "m", "bob", 60.0), {}), Place)
        await here.leave("t1", held_s=1.0)
        async with asyncio.timeout(20):
            await there.hear(5.0)
        assert isinstance(await there.wait("t2", 1.0), Granted)
        assert (await here.view()).processes == 2
        await own_notes.change("instances", "gpu", lambda _: {"state": "draining"})
        assert await other_notes.read("instances") == {"gpu": {"state": "draining"}}
        assert [await one.lead("probe", 5.0) for one in (own_notes, other_notes)] == [True, False]
        nodes = [node for node in (await _used_nodes(cluster)) if node]
        assert len(nodes) == 1, "all keys of the pool are in one slot"


async def _used_nodes(cluster: RedisCluster) -> list[set[str]]:
    found = []
    for server in cluster.servers:
        async with open_redis(server.url, timeout_s=5) as client:
            keys = {key async for key in client.scan_iter(match="libri:*")}
            found.append({key for key in keys if "{tag" not in key})
    return found
