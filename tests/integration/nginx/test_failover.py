"""Replicas that die, come back, hang or are replaced: who is asked instead, and nothing is asked twice."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devstack.child import free_port
from devstack.nginx import Front
from tests.support.pipelined import Reply, closed, read_head, replies, reply, request
from tests.support.proxy import front
from tests.support.upstream import Upstream, upstream, upstream_process

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT = "/api/v1/chat"
EVENTS = "/api/v1/runs/r/events"


def key(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {name}"}


def nobody() -> str:
    """A URL that refuses."""
    return f"http://127.0.0.1:{free_port()}"


async def asked(door: Front, path: str, count: int = 1, *, method: str = "GET") -> list[Reply]:
    sent = [
        request(path, key(f"{path}-{n}"), method=method, body=b"{}" * (method == "POST"))
        for n in range(count)
    ]
    return await replies(door.port, sent)


async def test_what_a_dead_replica_refuses_goes_to_another_once(replica: Upstream):
    with front([nobody(), replica.url, nobody()]) as door:
        for method in ("POST", "GET", "DELETE"):
            before = len(replica.seen)
            answers = await asked(door, CHAT, 15, method=method)
            assert [answer.status for answer in answers] == [200] * 15
            assert len(replica.seen) - before == 15


async def test_a_question_that_was_sent_is_never_sent_again():
    async with upstream() as one, upstream() as other:
        with front([one.url, other.url]) as door:
            (answer,) = await asked(door, f"{CHAT}?reset=1", method="POST")
            assert (answer.status, answer["content-type"]) == (502, ["application/problem+json"])
            assert answer["retry-after"] == ["1"]
            said = answer.json()
            assert (said["code"], said["status"], said["retryable"]) == ("bad_gateway", 502, True)
            assert len(one.seen) + len(other.seen) == 1
            (answer,) = await asked(door, "/v1/chat/completions?reset=1", method="POST")
            assert (answer.status, answer.json()["error"]["code"]) == (502, "bad_gateway")
            assert len(one.seen) + len(other.seen) == 2


async def test_nor_is_one_whose_replica_is_silent():
    changes = {"proxy_read_timeout 660s": "proxy_read_timeout 1s"}
    async with upstream() as one, upstream() as other:
        with front([one.url, other.url], changes=changes) as door:
            (answer,) = await asked(door, f"{CHAT}?wait_ms=2500", method="POST")
            assert (answer.status, answer.json()["code"]) == (504, "gateway_timeout")
            assert len(one.seen) + len(other.seen) == 1


async def test_what_may_be_asked_twice_is_asked_of_another():
    async with upstream() as one, upstream() as other:
        with front([one.url, other.url]) as door:
            for method in ("GET", "DELETE"):
                (answer,) = await asked(door, f"{EVENTS}?reset=1", method=method)
                assert answer.status == 502
            assert (len(one.seen), len(other.seen)) == (4, 4)  # by the first line of each, then by its second


async def test_a_host_that_is_gone_without_a_word_costs_a_second(replica: Upstream):
    with _hanging() as url, front([url, replica.url]) as door:
        began = time.monotonic()
        answers = await asyncio.gather(*(asked(door, CHAT, method="POST") for _ in range(4)))
        assert [one.status for (one,) in answers] == [200] * 4
        assert time.monotonic() - began < 8


@contextmanager
def _hanging() -> Iterator[str]:
    """A URL where connecting takes for ever: nobody accepts, and the queue is full."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(deaf.getsockname())
        try:
            yield f"http://127.0.0.1:{deaf.getsockname()[1]}"
        finally:
            for one in waiting:
                one.close()


@pytest.mark.parametrize("count", [1, 3])
async def test_with_no_replica_left_it_says_so_at_once_and_serves_as_soon_as_one_is_back(count: int):
    ports = [free_port() for _ in range(count)]
    with front([f"http://127.0.0.1:{port}" for port in ports]) as door:
        for turn in range(8):
            (answer,) = await asked(door, f"/gone-{turn}", method="POST")
            assert (answer.status, answer.json()["code"]) == (502, "bad_gateway")
        async with upstream(port=ports[0]) as back:
            await asyncio.sleep(float(answer["retry-after"][0]))
            answers = await asked(door, "/back", 6, method="POST")
            assert [one.status for one in answers] == [200] * 6
            assert len(back.seen) == 6


async def test_a_reload_beside_a_dead_replica_loses_nothing():
    async with upstream() as one:
        with front([one.url, nobody()]) as door:
            for turn in range(4):
                door.reload()
                for number in range(15):
                    (answer,) = await asked(door, f"/turn-{turn}-{number}", method="POST")
                    assert answer.status == 200
            assert len(one.seen) == 60


async def test_who_answers_least_at_the_moment_is_asked_next():
    async with upstream() as one, upstream() as other:
        one.hold()
        other.hold()
        with front([one.url, other.url]) as door:
            streams = [await asyncio.open_connection("127.0.0.1", door.port) for _ in range(8)]
            for number, (reader, writer) in enumerate(streams):
                writer.write(request(f"{EVENTS}?events=1", key(str(number))))
                await read_head(reader)
            assert (len(one.seen), len(other.seen)) == (4, 4)
            for _, writer in streams:
                await closed(writer)
        one.free()
        other.free()


async def test_a_replica_killed_in_mid_stream_is_left_and_comes_back(tmp_path: Path):
    with upstream_process(tmp_path) as (first, _), upstream_process(tmp_path) as (url, child):
        port = int(url.rpartition(":")[2])
        with front([first, url]) as door:
            streams = [await _following(door, number) for number in range(4)]
            child.kill()
            cut = [reader for reader, _ in streams if await _is_cut(reader)]
            assert len(cut) == 2
            resumed = await asked(door, f"{EVENTS}/..", 12)
            assert [one.status for one in resumed] == [200] * 12
            questions = await asked(door, CHAT, 12, method="POST")
            assert [one.status for one in questions] == [200] * 12
            for _, writer in streams:
                await closed(writer)
            with upstream_process(tmp_path, port):
                assert await _is_asked_again(door, port)


async def test_a_replica_that_came_back_takes_all_while_the_other_one_goes(tmp_path: Path):
    with (
        upstream_process(tmp_path) as (first, going),
        upstream_process(tmp_path) as (url, child),
        front([first, url]) as door,
    ):
        child.kill()
        assert {one.status for one in await asked(door, CHAT, 12, method="POST")} == {200}
        with upstream_process(tmp_path, int(url.rpartition(":")[2])):
            going.kill()
            assert {one.status for one in await asked(door, CHAT, 12, method="POST")} == {200}


async def _following(door: Front, number: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(request(f"{EVENTS}?events=1000&gap_ms=50", key(f"follows-{number}")))
    await read_head(reader)
    return reader, writer


async def _is_cut(reader: asyncio.StreamReader, within_s: float = 1.0) -> bool:
    """Whether the stream ends without its last chunk."""
    try:
        async with asyncio.timeout(within_s):
            return not (await reader.read()).endswith(b"0\r\n\r\n")
    except TimeoutError:
        return False


async def _is_asked_again(door: Front, port: int, within_s: float = 10.0) -> bool:
    """Whether NGINX gives a request to that replica."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        _, writer = await _following(door, int(time.monotonic() * 1000))
        busy = _clients_of(port)
        await closed(writer)
        if busy:
            return True
        await asyncio.sleep(0.2)
    return False


def _clients_of(port: int) -> int:
    """Established connections to a port of this machine."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    fields = (line.split() for line in lines)
    return sum(local.endswith(f":{port:04X}") and state == "01" for _, local, _, state, *_ in fields)


async def test_a_reload_takes_another_list_and_cuts_no_stream():
    async with upstream() as old, upstream() as new:
        old.hold()
        with front([old.url]) as door:
            reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
            writer.write(request(f"{EVENTS}?events=3", key("stays")))
            await read_head(reader)
            for turn in range(3):
                door.list_replicas([new.url])
                door.reload()
                await _until(lambda: _is_new(door, new))
                old.allowed.release()
                await reader.readuntil(f"data: {turn + 1}\n\n".encode())
            assert (await reader.read()).endswith(b"0\r\n\r\n")
            await closed(writer)


async def test_a_stream_that_outlives_the_bound_of_a_reload_is_cut_and_resumed_elsewhere():
    changes = {"worker_shutdown_timeout 660s": "worker_shutdown_timeout 1s"}
    async with upstream() as old, upstream() as new:
        old.hold()
        with front([old.url], changes=changes) as door:
            reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
            writer.write(request(f"{EVENTS}?events=3", key("cut")))
            await read_head(reader)
            door.list_replicas([new.url])
            door.reload()
            assert await _is_cut(reader, 10)
            await closed(writer)
            resumed = await reply_of_stream(door, f"{EVENTS}?events=3&after=1")
            assert resumed.count(b"data: ") == 2
        old.free()


async def reply_of_stream(door: Front, path: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(request(path, {**key("resumes"), "Connection": "close"}))
    async with asyncio.timeout(10):
        whole = await reader.read()
    await closed(writer)
    return whole


async def _is_new(door: Front, new: Upstream) -> bool:
    before = len(new.seen)
    answer = await reply(door.port, request(f"/which-{before}", key(str(before))))
    return answer.status == 200 and len(new.seen) > before


async def _until(found, within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not await found():
            await asyncio.sleep(0.05)
