"""Section F: every fault, switched on and off through the control port of a running instance."""

import asyncio
import json

import pytest

from tests.support.emulator import emulator
from tests.support.raw_http import answer, chat, raw

TEXT = "one two three four five six seven eight"


@pytest.fixture
async def server():
    async with emulator(time_scale=0, reply=TEXT) as it:
        yield it


@pytest.fixture
async def live():
    """A server in (fast) real time, so that something can be going on."""
    async with emulator(time_scale=0.1, num_parallel=4, reply={"mode": "endless"}) as it:
        yield it


async def lines(it) -> list[bytes]:
    return [data async for _, data in it.chunks()]


async def test_refuse(server):
    await server.fault("refuse")
    with pytest.raises(ConnectionRefusedError):
        await answer(server.url, "/api/version")
    assert not (await server.state())["listening"]
    await server.clear("refuse")
    assert (await answer(server.url, "/api/version"))[0] == 200


async def test_accept_then_hang_says_nothing_ever(server):
    await server.fault("accept_then_hang")
    async with raw(server.url, "/api/version") as it:
        assert await it.silent(0.15)


async def test_a_hang_can_be_for_one_model_only(server):
    await server.fault("accept_then_hang", model="qwen3:8b")
    assert (await answer(server.url, "/api/version"))[0] == 200
    assert (await answer(server.url, "/api/chat", chat(stream=False)))[0] == 200
    async with raw(server.url, "/api/chat", chat(model="qwen3:8b")) as it:
        assert await it.silent(0.1)


async def test_slow_accept():
    async with emulator(time_scale=1) as server:
        await server.fault("slow_accept", s=0.2)
        async with raw(server.url, "/api/version") as it:
            await it.body()
            assert it.head_s > 0.15


async def test_reset_before_headers(server):
    await server.fault("reset_before_headers")
    with pytest.raises(ConnectionResetError):
        await answer(server.url, "/api/chat", chat())


@pytest.mark.parametrize("code", [400, 404, 429, 500, 502, 503])
async def test_a_status_before_the_first_object(server, code):
    await server.fault("status", code=code)
    status, _, body = await answer(server.url, "/api/chat", chat())
    assert (status, json.loads(body)) == (code, {"error": "emulated failure"})
    assert (await answer(server.url, "/api/tags"))[0] == 200


@pytest.mark.parametrize(("body", "media"), [("<html>bad gateway</html>", "text/html"), ("", "")])
async def test_a_status_with_a_page_or_with_nothing(server, body, media):
    await server.fault("status", code=502, body=body)
    status, headers, got = await answer(server.url, "/api/chat", chat())
    assert (status, headers.get("content-type", ""), got.decode()) == (502, media, body)


async def test_error_mid(server):
    await server.fault("error_mid", k=3, message="boom")
    async with raw(server.url, "/api/chat", chat()) as it:
        objects = await it.objects()
    assert objects[3:] == [{"error": "boom"}]
    assert (await server.state())["leaks"] == 0


async def test_error_mid_before_anything_has_a_status(server):
    await server.fault("error_mid", k=0)
    assert (await answer(server.url, "/api/chat", chat()))[0] == 500


async def test_eof_mid(server):
    await server.fault("eof_mid", k=3)
    async with raw(server.url, "/api/chat", chat()) as it:
        objects = await it.objects()
    assert [o["done"] for o in objects] == [False] * 3


async def test_reset_mid_lets_what_was_said_arrive(server):
    await server.fault("reset_mid", k=3)
    async with raw(server.url, "/api/chat", chat()) as it:
        await it.read_head()
        for _ in range(3):
            assert json.loads(await it.chunk())
        with pytest.raises(ConnectionResetError):
            await it.chunk()


async def test_truncate_line(server):
    await server.fault("truncate_line", k=2)
    async with raw(server.url, "/api/chat", chat()) as it:
        *whole, half = await lines(it)
    assert len(whole) == 2
    assert half.startswith(b'{"model"')
    assert not half.endswith(b"\n")


async def test_garbage_line_and_then_it_goes_on(server):
    await server.fault("garbage_line", k=2)
    async with raw(server.url, "/api/chat", chat()) as it:
        text = b"".join(await lines(it)).split(b"\n")
    with pytest.raises(ValueError, match="decode"):
        json.loads(text[2])
    assert json.loads(text[-2])["done"]


async def test_blank_line(server):
    await server.fault("blank_line", k=2)
    async with raw(server.url, "/api/chat", chat()) as it:
        text = b"".join(await lines(it)).split(b"\n")
    assert text[2] == b""
    assert json.loads(text[-2])["done"]


@pytest.mark.parametrize("kind", ["error_mid", "reset_mid", "truncate_line", "eof_mid", "garbage_line"])
async def test_a_whole_answer_is_struck_too(server, kind):
    await server.fault(kind)
    if kind in ("reset_mid", "truncate_line"):
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await answer(server.url, "/api/chat", chat(stream=False))
        return
    status, _, body = await answer(server.url, "/api/chat", chat(stream=False))
    if kind == "error_mid":
        assert status == 500
    elif kind == "eof_mid":
        assert json.loads(body)["done"] is False
    else:
        assert b"not json" in body


async def test_freeze_for_a_while(server):
    await server.fault("freeze", k=2, s=30)
    status, _, body = await answer(server.url, "/api/chat", chat(stream=False))
    assert status == 200
    assert json.loads(body)["eval_duration"] > 30e9


async def test_freeze_for_ever_keeps_the_slot_until_the_client_leaves(server):
    await server.fault("freeze", k=2, s="forever")
    async with raw(server.url, "/api/chat", chat()) as it:
        await it.read_head()
        for _ in range(2):
            await it.chunk()
        assert await it.silent(0.1)
        assert (await server.state())["loaded"][0]["slots"][0]["busy"]
    await server.until(lambda s: not s["loaded"][0]["slots"][0]["busy"])


async def test_jitter_changes_the_pace_but_not_the_words(server):
    await server.fault("jitter", sigma=1.0)
    whole = json.loads((await answer(server.url, "/api/chat", chat(stream=False)))[2])
    assert whole["message"]["content"] == TEXT
    even = 1e9 / 130
    assert abs(whole["eval_duration"] / (whole["eval_count"] - 1) / even - 1) > 0.01


async def test_throttle(server):
    calm = json.loads((await answer(server.url, "/api/chat", chat(stream=False)))[2])
    await server.fault("throttle", factor=5)
    hot = json.loads((await answer(server.url, "/api/chat", chat(stream=False)))[2])
    assert hot["eval_duration"] == pytest.approx(5 * calm["eval_duration"], rel=0.01)


async def test_a_stuck_runner_blocks_all_that_must_be_loaded_while_version_stays_fast(live):
    async with raw(live.url, "/api/chat", chat()) as first:
        await first.read_head()
        await live.fault("stuck_runner", model="llama3.1:8b", times=1)
        async with (
            raw(live.url, "/api/chat", chat()) as second,
            raw(live.url, "/api/chat", chat(model="qwen3:8b")) as third,
        ):
            await live.until(lambda s: s["pending"] == 1)
            assert (await answer(live.url, "/api/version"))[0] == 200
            assert await second.silent(0.1)
            first.leave()
            async with asyncio.timeout(30):
                await second.read_head()
                await third.read_head()
    assert [e["model"] for e in await live.events(kind="evict")] == ["llama3.1:8b"]


async def test_a_stuck_runner_moves_again_when_the_fault_is_cleared(live):
    async with raw(live.url, "/api/chat", chat()) as it:
        await it.read_head()
        await live.fault("stuck_runner")
        await asyncio.sleep(0.05)
        await live.clear("stuck_runner")
        async with asyncio.timeout(30):
            for _ in range(20):
                await it.chunk()


@pytest.mark.parametrize(("variant", "on_gpu"), [("ps_honest", False), ("ps_lies", True)])
async def test_gpu_lost(server, variant, on_gpu):
    calm = json.loads((await answer(server.url, "/api/chat", chat(stream=False)))[2])
    await server.fault("gpu_lost", variant=variant)
    slow = json.loads((await answer(server.url, "/api/chat", chat(stream=False)))[2])
    assert slow["eval_duration"] > 10 * calm["eval_duration"]
    (row,) = json.loads((await answer(server.url, "/api/ps"))[2])["models"]
    assert row["size_vram"] == (row["size"] if on_gpu else 0)


async def test_oom_at_load_is_500(server):
    await server.fault("oom_load")
    status, _, body = await answer(server.url, "/api/chat", chat())
    assert status == 500
    assert json.loads(body)["error"].startswith("llama-server process has terminated: exit status 1: ")


async def test_oom_at_load_evicts_the_others_and_tries_again(server):
    await answer(server.url, "/api/chat", chat(model="qwen3:8b", stream=False))
    await server.fault("oom_load", times=1)
    assert (await answer(server.url, "/api/chat", chat(stream=False)))[0] == 200
    assert [r["model"] for r in (await server.state())["loaded"]] == ["llama3.1:8b"]


async def test_oom_at_load_lowers_an_automatic_context_and_says_so_only_in_ps():
    async with emulator(time_scale=0, context_length=131_072, reply=TEXT) as server:
        await server.fault("oom_load", times=1)
        assert (await answer(server.url, "/api/chat", chat(stream=False)))[0] == 200
        (row,) = json.loads((await answer(server.url, "/api/ps"))[2])["models"]
        assert row["context_length"] == 32_768


async def test_oom_at_run_time_is_an_error_line_and_unloads_everything(server):
    await answer(server.url, "/api/chat", chat(model="qwen3:8b", stream=False))
    await server.fault("oom_runtime", k=2, model="llama3.1:8b")
    async with raw(server.url, "/api/chat", chat()) as it:
        objects = await it.objects()
    assert list(objects[2]) == ["error"]
    assert not (await server.state())["loaded"]


async def test_slow_load(server):
    await server.fault("slow_load", factor=4)
    whole = json.loads((await answer(server.url, "/api/chat", chat(stream=False)))[2])
    assert whole["load_duration"] == 12_000_000_000


async def test_load_fail_n_times(server):
    await server.fault("load_fail", times=2)
    got = [(await answer(server.url, "/api/chat", chat(stream=False)))[0] for _ in range(3)]
    assert got == [500, 500, 200]


async def test_a_load_that_stands_still_times_out(server):
    await server.fault("load_stall", times=1)
    status, _, body = await answer(server.url, "/api/chat", chat())
    assert (status, json.loads(body)["error"]) == (500, "timed out waiting for llama-server to start - ")


async def test_ps_stall():
    async with emulator(time_scale=1) as server:
        await server.fault("ps_stall", s=0.2)
        async with raw(server.url, "/api/ps") as it:
            await it.body()
            assert it.head_s > 0.15


async def test_evict_now_waits_for_the_requests_in_flight(live):
    async with raw(live.url, "/api/chat", chat()) as it:
        await it.read_head()
        await live.fault("evict_now", model="llama3.1:8b")
        assert (await live.state())["loaded"]
        it.leave()
    await live.until(lambda s: not s["loaded"])


async def test_restart_cuts_everything_and_comes_back_empty_on_the_same_port(live):
    async with raw(live.url, "/api/chat", chat()) as it:
        await it.read_head()
        await live.fault("restart", s=20)  # 2 s of ours
        with pytest.raises(ConnectionResetError):
            await lines(it)
        with pytest.raises(ConnectionRefusedError):
            await answer(live.url, "/api/version")
    await live.until(lambda s: s["listening"])
    assert json.loads((await answer(live.url, "/api/ps"))[2]) == {"models": []}


async def test_clock_skew(server):
    before = json.loads((await answer(server.url, "/api/chat", chat(stream=False)))[2])["created_at"]
    await server.fault("clock_skew", s=-86_400 * 400)
    after = json.loads((await answer(server.url, "/api/chat", chat(stream=False)))[2])["created_at"]
    assert int(after[:4]) < int(before[:4])


async def test_version_change(server):
    await server.fault("version_change", version="0.12.0")
    assert json.loads((await answer(server.url, "/api/version"))[2]) == {"version": "0.12.0"}


async def test_drop_done_metrics(server):
    await server.fault("drop_done_metrics")
    async with raw(server.url, "/api/chat", chat()) as it:
        last = (await it.objects())[-1]
    assert list(last) == ["model", "created_at", "message", "done", "done_reason"]


async def test_pull_error_at_a_stage(server):
    await server.fault("pull_error", stage="verifying", message="digest mismatch")
    async with raw(server.url, "/api/pull", {"model": "gemma3"}) as it:
        objects = await it.objects()
    assert objects[-2:] == [{"status": "verifying sha256 digest"}, {"error": "digest mismatch"}]


async def test_only_the_nth_request_is_struck(server):
    await server.fault("status", nth=2, code=503)
    got = [(await answer(server.url, "/api/chat", chat(stream=False)))[0] for _ in range(3)]
    assert got == [200, 503, 200]


async def test_a_probability_strikes_about_that_share_and_the_same_with_the_same_seed():
    async def struck() -> list[int]:
        async with emulator(time_scale=0, seed=3) as server:
            await server.fault("status", probability=0.5, code=503)
            return [(await answer(server.url, "/api/chat", chat(messages=[])))[0] for _ in range(30)]

    one = await struck()
    assert one == await struck()
    assert 5 < one.count(503) < 25


async def test_a_window_opens_and_closes(server):
    await server.fault("version_change", version="x", after_s=10, for_s=10)
    seen = []
    for _ in range(3):
        seen.append(json.loads((await answer(server.url, "/api/version"))[2])["version"])
        await server.advance(15)
    assert seen == ["0.33.0", "x", "0.33.0"]


async def test_a_refusal_with_a_window_ends_by_itself(server):
    await server.fault("refuse", for_s=10)
    await server.advance(11)
    await server.until(lambda s: s["listening"])
    assert (await answer(server.url, "/api/version"))[0] == 200


async def test_an_unknown_fault_is_refused_with_the_list_of_those_there_are(server):
    with pytest.raises(ValueError, match="known: accept_then_hang"):
        await server.fault("gremlins")
