"""H51 to H57: queues, loads, evictions, the prefix cache and the step loop, seen from outside."""

import asyncio
import json
import re
from contextlib import AsyncExitStack
from datetime import datetime
from itertools import pairwise

import pytest

from ollama_emulator.models import model
from ollama_emulator.speeds import Speeds
from tests.support.emulator import emulator
from tests.support.raw_http import answer, chat, raw

FAST = Speeds(load_s=1.0, prefill_tps=4000, n_batch=512, decode={1: 100, 4: 300})
TWO, OTHER = model("two", speeds=FAST), model("other", speeds=FAST)
SHORT = "one two three"


async def whole(server, body) -> dict:
    status, _, data = await answer(server.url, "/api/chat", {**body, "stream": False})
    return {"status": status} | json.loads(data)


def when(stamp: str) -> float:
    return datetime.fromisoformat(stamp[:26].rstrip("Z") + "+00:00").timestamp()


async def test_a_loaded_model_queues_six_hundred_without_refusing_one():
    async with emulator(process=True, time_scale=0, reply=SHORT, max_queue=4) as server:
        await whole(server, chat(messages=[]))
        got = await asyncio.gather(*(whole(server, chat(f"{i}")) for i in range(600)))
        state = await server.state()
    assert [g["status"] for g in got] == [200] * 600
    assert state["totals"]["peaks"]["llama3.1:8b"]["slots"] == 1
    assert state["totals"]["peaks"]["llama3.1:8b"]["waiting"] > 300


async def test_a_model_that_is_loading_queues_so_many_and_refuses_the_rest():
    async with emulator(time_scale=0.2, reply=SHORT, max_queue=4) as server:
        first = asyncio.create_task(whole(server, chat("first")))
        await server.until(lambda s: s["loading"] == "llama3.1:8b" and not s["pending"])
        got = await asyncio.gather(first, *(whole(server, chat(f"{i}")) for i in range(20)))
    assert [g["status"] for g in got].count(200) == 5
    refused = [g for g in got if g["status"] == 503]
    assert len(refused) == 16
    assert refused[0]["error"] == "server busy, please try again.  maximum pending requests exceeded"


async def test_a_reload_waits_for_the_last_request_and_blocks_every_other_load():
    async with emulator(time_scale=0.05, reply={"mode": "endless"}) as server, AsyncExitStack() as open_:
        await whole(server, chat(model="qwen3:8b", messages=[]))

        async def ask(**more):
            return await open_.enter_async_context(raw(server.url, "/api/chat", chat(**more)))

        first = await ask(options={"num_ctx": 4096})
        await first.read_head()
        reload = await ask(options={"num_ctx": 8192})
        await server.until(lambda s: s["pending"] == 0 and s["totals"]["open"] >= 2)
        third = await ask(model="mistral:7b")
        await server.until(lambda s: s["pending"] == 1)
        loaded = await ask(model="qwen3:8b")
        async with asyncio.timeout(30):
            await loaded.read_head()
        assert await reload.silent(0.2)
        assert await third.silent(0.05)
        first.leave()
        async with asyncio.timeout(30):
            await reload.read_head()
            await third.read_head()
        rows = {r["model"]: r["num_ctx"] for r in (await server.state())["loaded"]}
    assert rows["llama3.1:8b"] == 8192


async def test_a_base_and_its_lora_take_turns_and_each_pays_for_loading():
    async with emulator(time_scale=0, reply=SHORT) as server:
        for name in ("mistral:7b", "mistral-lora", "mistral:7b", "mistral-lora"):
            assert (await whole(server, chat(model=name)))["load_duration"] == 3_000_000_000
            rows = json.loads((await answer(server.url, "/api/ps"))[2])["models"]
            assert [row["name"] for row in rows] == [name if ":" in name else f"{name}:latest"]


async def test_a_client_that_leaves_during_the_load_aborts_it():
    async with emulator(time_scale=1, reply=SHORT, models=(TWO,)) as server:
        async with raw(server.url, "/api/chat", chat(model="two")):
            await server.until(lambda s: s["loading"] == "two:latest")
            waiting = asyncio.create_task(whole(server, chat(model="two")))
            await server.until(lambda s: s["pending"] == 1)
            await asyncio.sleep(0.05)
        served = await waiting
        begun = [e["at_s"] for e in await server.events(kind="load_begin")]
        (done,) = await server.events(kind="load_end")
        assert len(await server.events(kind="load_abort")) == 1
    assert served["load_duration"] > 1_000_000_000
    assert done["at_s"] - begun[1] >= 0.99


async def test_the_same_prompt_again_is_read_from_the_slots_memory():
    async with emulator(time_scale=0, reply=SHORT, num_parallel=4) as server:
        body = chat("word " * 5990, options={"num_ctx": 8192})
        one, two = await whole(server, body), await whole(server, body)
    assert one["prompt_eval_count"] == two["prompt_eval_count"] == pytest.approx(6000, abs=20)
    assert one["prompt_eval_duration"] > 0.9e9
    assert two["prompt_eval_duration"] == 1_000_000, "one token: the least that is ever told"


async def test_the_next_turn_of_a_conversation_reads_only_what_is_new():
    async with emulator(time_scale=0, reply=SHORT) as server:
        turns = [{"role": "system", "content": "rules " * 500}, {"role": "user", "content": "first?"}]
        await whole(server, chat(messages=turns))
        turns += [{"role": "assistant", "content": SHORT}, {"role": "user", "content": "second?"}]
        await whole(server, chat(messages=turns))
        second = (await server.requests())[-1]
    assert second["prompt_tokens"] - second["cached_tokens"] < 15


async def test_a_long_prefill_stalls_the_other_streams_by_whole_batches():
    speeds = Speeds(load_s=0, prefill_tps=1000, n_batch=500, per_stream_tps=100)
    one = model("m", speeds=speeds)
    async with emulator(time_scale=0, models=(one,), num_parallel=4, reply={"mode": "endless"}) as server:
        big = {"num_ctx": 16_384, "num_predict": 2000}
        async with raw(server.url, "/api/chat", chat(model="m", options=big)) as stream:
            await stream.read_head()
            body = chat("word " * 7990, model="m", options={**big, "num_predict": 1})
            await whole(server, body)
            stamps = [when(o["created_at"]) for o in await stream.objects()]
    gaps = sorted((b - a for a, b in pairwise(stamps)), reverse=True)
    assert gaps[:15] == pytest.approx([0.5 + 0.01] * 15, rel=0.05)
    assert gaps[20] == pytest.approx(0.01, rel=0.05)


async def test_not_a_byte_is_sent_before_the_first_token():
    async with emulator(time_scale=0.5, models=(TWO,), reply=SHORT) as server:
        async with raw(server.url, "/api/chat", chat("word " * 2000, model="two")) as it:
            assert await it.silent(0.05)
        async with raw(server.url, "/api/chat", chat("word " * 2001, model="two")) as it:
            await it.read_head()
        assert it.head_s > 0.5 * (1.0 + 2000 / 4000) - 0.01


async def test_waiting_for_a_slot_appears_only_in_the_total():
    async with emulator(time_scale=0, models=(TWO,), reply="word " * 200) as server:
        await whole(server, chat(model="two", messages=[]))
        one, two = await asyncio.gather(*(whole(server, chat(c, model="two")) for c in "ab"))
    last = max(one, two, key=lambda w: w["total_duration"])
    named = sum(last.get(k, 0) for k in ("load_duration", "prompt_eval_duration", "eval_duration"))
    assert last["total_duration"] - named > 1.9e9


@pytest.mark.parametrize(
    ("keep_alive", "seconds"), [("10s", 10), (15, 15), ("1m30s", 90), (-1, 292 * 365.25 * 86_400)]
)
async def test_keep_alive_is_honoured(keep_alive, seconds):
    async with emulator(time_scale=0, reply=SHORT) as server:
        await whole(server, chat(keep_alive=keep_alive))
        (row,) = (await server.state())["loaded"]
        assert row["expires_s"] - (await server.state())["now_s"] == pytest.approx(seconds)
        await server.advance(min(seconds, 1000) + 1)
        assert bool((await server.state())["loaded"]) == (seconds > 1000)


async def test_keep_alive_nought_unloads_at_once():
    async with emulator(time_scale=0, reply=SHORT) as server:
        await whole(server, chat(keep_alive=0))
        await server.until(lambda s: not s["loaded"])


async def test_expires_at_stands_still_while_a_model_is_busy_again():
    async with emulator(time_scale=0.05, reply={"mode": "endless"}) as server:

        async def expiry() -> str:
            return json.loads((await answer(server.url, "/api/ps"))[2])["models"][0]["expires_at"]

        async with raw(server.url, "/api/chat", chat(messages=[{"role": "user", "content": "x"}])) as it:
            await it.read_head()
            first = await expiry()
            await asyncio.sleep(0.02)
            assert await expiry() > first
        await server.until(lambda s: s["loaded"][0]["expires_s"] is not None)
        idle = await expiry()
        async with raw(server.url, "/api/chat", chat()) as it:
            await it.read_head()
            assert await expiry() == idle


async def test_ps_lists_longest_lived_first():
    async with emulator(time_scale=0, reply=SHORT) as server:
        for name, keep in (("llama3.1:8b", 60), ("qwen3:8b", 600), ("nomic-embed-text", 300)):
            path = "/api/embed" if "nomic" in name else "/api/chat"
            body = {"model": name, "input": "x", "keep_alive": keep, "stream": False}
            await answer(server.url, path, body | ({} if "nomic" in name else chat(model=name)))
        rows = json.loads((await answer(server.url, "/api/ps"))[2])["models"]
    assert [r["name"] for r in rows] == ["qwen3:8b", "nomic-embed-text:latest", "llama3.1:8b"]


async def test_a_model_larger_than_the_gpu_spills_and_slows():
    async with emulator(time_scale=0, reply="word " * 50, vram_bytes=4_000_000_000) as server:
        slow = await whole(server, chat())
        (row,) = json.loads((await answer(server.url, "/api/ps"))[2])["models"]
    assert row["size_vram"] == 4_000_000_000 < row["size"]
    assert slow["eval_duration"] / (slow["eval_count"] - 1) == pytest.approx(1e9 / (130 * 0.08), rel=0.01)


@pytest.mark.parametrize(("one_gpu", "factor"), [(False, 1), (True, 2)])
async def test_two_busy_models_share_one_gpu_if_they_are_told_so(one_gpu, factor):
    async with emulator(time_scale=0, models=(TWO, OTHER), reply="word " * 100, one_gpu=one_gpu) as server:
        for name in ("two", "other"):
            await whole(server, chat(model=name, messages=[]))
        got = await asyncio.gather(*(whole(server, chat(model=name)) for name in ("two", "other")))
    assert got[0]["eval_duration"] == pytest.approx(factor * 100 / 100 * 1e9, rel=0.1)


async def test_embeddings_are_read_one_by_one_whatever_the_slots():
    async with emulator(time_scale=0, num_parallel=8) as server:
        body = {"model": "nomic-embed-text", "input": ["word " * 100] * 16}
        _, _, data = await answer(server.url, "/api/embed", body)
        assert (await server.state())["totals"]["peaks"]["nomic-embed-text:latest"]["slots"] == 1
    assert json.loads(data)["prompt_eval_count"] == pytest.approx(1600, abs=20)


async def test_a_family_that_takes_one_at_a_time_does_so_silently():
    one = model("m", family="qwen3next")
    async with emulator(time_scale=0, models=(one,), num_parallel=8, reply=SHORT) as server:
        await asyncio.gather(*(whole(server, chat(f"{i}", model="m")) for i in range(8)))
        assert (await server.state())["totals"]["peaks"]["m:latest"]["slots"] == 1


async def test_a_client_that_leaves_frees_the_slot_and_the_count_proves_it():
    async with emulator(time_scale=0.2, reply={"mode": "endless"}) as server:
        async with raw(server.url, "/api/chat", chat()) as it:
            await it.read_head()
        state = await server.until(lambda s: s["loaded"][0]["refs"] == 0)
        (record,) = [r for r in await server.requests() if r["path"] == "/api/chat"]
    assert state["leaks"] == 0
    assert record["outcome"] == "gone"
    assert record["tokens_after_gone"] <= 1


async def test_an_engine_that_ignores_the_disconnect_is_caught_by_the_count():
    async with emulator(time_scale=0.05, reply={"mode": "endless"}) as server:
        await server.fault("ignore_disconnect")
        async with raw(server.url, "/api/chat", chat(options={"num_predict": 300})) as it:
            await it.read_head()
        await server.until(lambda s: s["leaks"] == 1)
        await server.until(lambda s: s["loaded"][0]["refs"] == 0)
        (record,) = [r for r in await server.requests() if r["path"] == "/api/chat"]
    assert record["tokens_after_gone"] > 100


async def test_leaving_during_a_prefill_frees_the_slot_at_the_next_batch():
    slow = model("m", speeds=Speeds(load_s=0, prefill_tps=1000, n_batch=500))
    async with emulator(time_scale=0.2, models=(slow,), reply=SHORT) as server:
        body = chat("word " * 8000, model="m", options={"num_ctx": 16_384})
        async with raw(server.url, "/api/chat", body):
            await server.until(lambda s: s["loaded"] and s["loaded"][0]["slots"][0]["read"] > 0)
        await server.until(lambda s: s["loaded"][0]["refs"] == 0)
        (gone,) = await server.events(kind="client_gone")
        (free,) = await server.events(kind="slot_free")
    assert free["at_s"] - gone["at_s"] < 4  # of the eight that the prompt takes


async def test_a_waiter_that_leaves_gives_up_its_place():
    async with emulator(time_scale=0.05, reply={"mode": "endless"}) as server, AsyncExitStack() as open_:
        first = await open_.enter_async_context(raw(server.url, "/api/chat", chat()))
        await first.read_head()
        async with raw(server.url, "/api/chat", chat("b")):
            await server.until(lambda s: s["loaded"][0]["waiting"] == 1)
        await server.until(lambda s: s["loaded"][0]["waiting"] == 0 and s["loaded"][0]["refs"] == 1)


async def test_a_reset_answers_those_who_wait():
    async with emulator(time_scale=1, reply=SHORT) as server:
        waiting = [asyncio.create_task(whole(server, chat())) for _ in range(2)]
        await server.until(lambda s: s["loading"] and s["pending"] == 1)
        await server.reset()
        assert [w["status"] for w in await asyncio.gather(*waiting)] == [500, 500]


STREAMS = [chat("a"), chat("b", model="qwen3:8b"), chat("c", options={"num_predict": 10}), chat("a")]


TIMES = re.compile(rb'"created_at":"[^"]*"|,"[a-z_]+_duration":\d+')


async def streams_of_a_new_process(seed: int) -> list[bytes]:
    async with emulator(process=True, time_scale=0, seed=seed, num_parallel=2) as server:

        async def stream(body) -> bytes:
            async with raw(server.url, "/api/chat", body) as it:
                return TIMES.sub(b"", b"".join([data async for _, data in it.chunks()]))

        return await asyncio.gather(*map(stream, STREAMS))


async def test_a_seed_fixes_every_byte_but_times():
    one, two, other = [await streams_of_a_new_process(seed) for seed in (7, 7, 8)]
    assert one == two
    assert one[0] == one[3]
    assert len({*one, *other}) == 6
