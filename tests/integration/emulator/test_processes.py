"""What dies apart: a server and its runners, killed or stopped."""

import asyncio
import json
import socket

import pytest

from ollama_emulator.models import model
from tests.support.emulator import emulator
from tests.support.raw_http import answer, chat, raw

PLAIN = "llama3.1:8b"
UNEXPECTED = "an error was encountered while running the model: unexpected EOF"


@pytest.fixture
async def live():
    """A server in (fast) real time whose answers do not end."""
    async with emulator(time_scale=0.1, num_parallel=2, reply={"mode": "endless"}) as it:
        await it.load(PLAIN)
        yield it


async def resident(server) -> list[dict]:
    return json.loads((await answer(server.url, "/api/ps"))[2])["models"]


async def test_a_runner_that_is_killed_ends_its_streams_with_an_error_at_once(live):
    async with raw(live.url, "/api/chat", chat()) as one, raw(live.url, "/api/chat", chat()) as two:
        for it in (one, two):
            await it.read_head()
            await it.chunk()
        await live.fault("kill_runner", model=PLAIN)
        for it in (one, two):
            async with asyncio.timeout(5):
                *said, last = await it.objects()
            assert last == {"error": UNEXPECTED}
            assert not any(o["done"] for o in said)
    assert await resident(live) == []


async def test_who_waited_for_a_slot_of_it_is_told_with_a_status(live):
    async with raw(live.url, "/api/chat", chat()) as one, raw(live.url, "/api/chat", chat()) as two:
        for it in (one, two):
            await it.read_head()
        waiting = asyncio.ensure_future(answer(live.url, "/api/chat", chat()))
        await live.until(lambda s: s["loaded"][0]["waiting"] == 1)
        await live.fault("kill_runner")
        async with asyncio.timeout(5):
            status, _, body = await waiting
    assert status == 500
    assert json.loads(body)["error"].startswith("model runner has unexpectedly stopped")


async def test_the_next_request_loads_a_new_one(live):
    await live.fault("kill_runner", model=PLAIN)
    asked = chat(stream=False, options={"num_predict": 3})
    assert (await answer(live.url, "/api/chat", asked))[0] == 200
    assert len(await live.events(kind="load_end")) == 2
    assert (await live.state())["leaks"] == 0


async def test_only_the_runner_of_that_model_is_killed(live):
    await live.load("qwen3:8b")
    await live.fault("kill_runner", model="qwen3:8b")
    assert [m["name"] for m in await resident(live)] == [PLAIN]
    with pytest.raises(ValueError, match="no model"):
        await live.fault("kill_runner", model="nobody")


async def test_vectors_of_a_runner_that_is_killed_are_refused(live):
    slow = asyncio.ensure_future(
        answer(live.url, "/api/embed", {"model": "nomic-embed-text", "input": ["word " * 2000] * 500})
    )
    await live.until(lambda s: len(s["loaded"]) == 2)
    await live.fault("kill_runner", model="nomic-embed-text")
    async with asyncio.timeout(5):
        status, _, body = await slow
    assert (status, json.loads(body)["error"].endswith("EOF")) == (400, True)


GPU = 6_000_000_000
SMALL = {"size": 4_000_000_000, "kv_bytes_per_token": 0}


async def killed(server, **how) -> None:
    await server.fault("restart", s=0.1, **how)
    await server.until(lambda s: s["listening"])


@pytest.fixture
async def machine():
    """A GPU with room for one of its two models."""
    table = (model("a", **SMALL), model("b", **SMALL))
    async with emulator(time_scale=0, models=table, vram_bytes=GPU, reply="Nine.") as it:
        await it.load("a")
        yield it


async def test_a_server_that_is_killed_leaves_its_runners_with_their_memory_and_a_port(machine):
    await killed(machine, orphans=True)
    assert await resident(machine) == [], "the new server does not know of it"
    (orphan,) = (await machine.state())["orphans"]
    assert (orphan["model"], orphan["vram_bytes"]) == ("a:latest", 4_000_000_000)
    socket.create_connection(("127.0.0.1", orphan["port"]), timeout=5).close()
    await machine.load("b")
    (row,) = await resident(machine)
    assert row["size_vram"] == GPU - 4_000_000_000 < row["size"], "what is left is not enough"


async def test_when_somebody_ends_them_there_is_room_again(machine):
    await killed(machine, orphans=True)
    await machine.fault("end_orphans")
    assert (await machine.state())["orphans"] == []
    await machine.load("b")
    (row,) = await resident(machine)
    assert row["size_vram"] == row["size"]


@pytest.mark.parametrize("how", [{"graceful": True}, {}])
async def test_a_server_that_is_told_to_stop_ends_its_runners(machine, how):
    await killed(machine, **how)
    assert (await machine.state())["orphans"] == []


async def test_each_kill_leaves_one_more(machine):
    for _ in range(2):
        await killed(machine, orphans=True)
        await machine.load("a")
    held = [orphan["vram_bytes"] for orphan in (await machine.state())["orphans"]]
    assert held == [4_000_000_000, 2_000_000_000]
    await machine.reset()
    assert (await machine.state())["orphans"] == []


async def test_a_runner_that_is_stopped_says_nothing_and_the_rest_answers(live):
    async with raw(live.url, "/api/chat", chat()) as it:
        await it.read_head()
        await live.fault("stuck_runner", model=PLAIN)
        for _ in range(200):
            try:
                async with asyncio.timeout(0.2):
                    await it.chunk()
            except TimeoutError:
                break
        else:
            pytest.fail("it goes on")
        for path in ("/api/version", "/api/tags", "/api/ps"):
            async with asyncio.timeout(2):
                assert (await answer(live.url, path))[0] == 200
        await live.clear("stuck_runner")
        async with asyncio.timeout(5):
            assert await it.chunk()


async def test_a_server_that_is_stopped_hangs_whatever_is_asked_and_then_goes_on(live):
    async with raw(live.url, "/api/chat", chat()) as it, raw(live.url, "/api/version") as idle:
        await it.read_head()
        await idle.body()
        await live.fault("stop_server")
        async with raw(live.url, "/api/version") as new:
            idle.writer.write(b"GET /api/tags HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert await new.silent(0.2)
            assert await idle.silent(0.1)
            await live.clear("stop_server")
            idle.status = 0
            async with asyncio.timeout(5):
                assert json.loads(await new.body()) == {"version": "0.33.0"}
                assert json.loads(await idle.body())["models"]
                assert await it.chunk(), "what was generated meanwhile is not lost"


async def test_a_server_that_is_down_stays_down_whatever_is_switched_meanwhile(live):
    await live.fault("stop_server")
    await live.fault("restart", s=2.0, orphans=True)
    await live.clear()
    with pytest.raises(ConnectionRefusedError):
        await answer(live.url, "/api/version")
    await live.until(lambda s: s["listening"])
    assert (await answer(live.url, "/api/version"))[0] == 200
    assert len((await live.state())["orphans"]) == 1


async def test_a_server_that_is_stopped_for_a_while_wakes_by_itself(live):
    await live.fault("stop_server", for_s=2.0)
    async with asyncio.timeout(5):
        assert (await answer(live.url, "/api/version"))[0] == 200


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
async def test_an_old_server_never_says_why_it_is_done(path):
    async with emulator(time_scale=0, reply="Nine.") as server:
        await server.fault("no_done_reason")
        async with raw(server.url, path, {**chat(), "prompt": "x"}) as it:
            last = (await it.objects())[-1]
        assert (last["done"], "done_reason" in last, last["eval_count"]) == (True, False, 2)
        asked = {**chat(options={"num_predict": 1}, stream=False), "prompt": "x"}
        whole = json.loads((await answer(server.url, path, asked))[2])
        assert (whole["done"], "done_reason" in whole) == (True, False)
        await server.clear("no_done_reason")
        assert json.loads((await answer(server.url, path, asked))[2])["done_reason"] == "length"


async def test_an_old_server_says_nothing_of_it_in_openais_dialect_either():
    async with emulator(time_scale=0, reply="Nine.") as server:
        await server.fault("no_done_reason")
        whole = json.loads((await answer(server.url, "/v1/chat/completions", chat()))[2])
    assert whole["choices"][0]["finish_reason"] is None
