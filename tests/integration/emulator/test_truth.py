"""Section G: what the control port tells, which no client of the real server can see."""

import json
import time

from tests.support.emulator import emulator
from tests.support.raw_http import answer, chat, raw


async def test_the_events_of_a_request_tell_its_whole_story():
    async with emulator(time_scale=0, reply="Nine.") as server:
        await answer(server.url, "/api/chat", chat(stream=False, keep_alive=0))
        await server.until(lambda s: not s["loaded"])
        told = [e["event"] for e in await server.events() if e["event"] != "evict"]
    assert told == [
        "arrive",
        "pend",
        "load_begin",
        "load_end",
        "slot_get",
        "first_token",
        "slot_free",
        "done",
    ]


async def test_the_events_of_a_client_that_leaves():
    async with emulator(time_scale=0.05, reply={"mode": "endless"}) as server:
        async with raw(server.url, "/api/chat", chat()) as it:
            await it.read_head()
        await server.until(lambda s: s["loaded"][0]["refs"] == 0)
        told = [e["event"] for e in await server.events()]
    assert {"client_gone", "slot_free", "cancel", "done"} <= set(told)
    assert told.index("client_gone") < told.index("slot_free") < told.index("cancel")


async def test_events_can_be_read_from_where_one_left_off():
    async with emulator(time_scale=0, reply="Nine.") as server:
        await answer(server.url, "/api/chat", chat(stream=False))
        first = await server.events()
        await answer(server.url, "/api/chat", chat(stream=False))
        rest = await server.events(first[-1]["id"])
    assert [e["event"] for e in rest] == ["arrive", "slot_get", "first_token", "slot_free", "done"]


async def test_events_carry_the_clock_that_all_processes_of_a_machine_share():
    before = time.monotonic()
    async with emulator(process=True, time_scale=0.01, reply="Nine.") as server:
        await answer(server.url, "/api/chat", chat(stream=False))
        stamps = [e["mono_s"] for e in await server.events()]
    assert stamps == sorted(stamps)
    assert before < stamps[0] <= stamps[-1] < time.monotonic()


async def test_a_stream_frozen_before_its_first_token_still_has_a_first_token():
    async with emulator(time_scale=0, reply="Nine.") as server:
        await server.fault("freeze", k=0, s=30)
        await answer(server.url, "/api/chat", chat(stream=False))
        assert len(await server.events(kind="first_token")) == 1


async def test_a_client_that_leaves_the_queue_is_499_in_the_log():
    async with emulator(time_scale=1, reply="Nine.") as server:
        async with raw(server.url, "/api/chat", chat()):
            await server.until(lambda s: s["loading"])
        await server.until(lambda s: not s["totals"]["open"])
        (record,) = await server.requests()
    assert (record["status"], record["outcome"]) == (499, "gone")


async def test_a_record_holds_the_options_that_the_engine_was_given():
    async with emulator(time_scale=0, reply="Nine.") as server:
        await answer(server.url, "/api/chat", chat(stream=False, options={"num_ctx": 8192}))
        await answer(server.url, "/v1/chat/completions", chat())
        native, openai = await server.requests()
    assert native["options"] == {"num_ctx": 8192}
    assert openai["options"] == {"temperature": 1.0, "top_p": 1.0}


async def test_time_that_the_emulator_itself_lost_is_confessed():
    async with emulator(time_scale=1, reply={"mode": "endless"}) as server:
        async with raw(server.url, "/api/chat", chat()) as it:
            await it.read_head()
            time.sleep(1.0)  # the whole process stands still, as on a machine that is too busy
            await it.chunk()
            assert 0.5 < (await server.state())["totals"]["lost_s"] < 5.0
        await server.reset()
        assert (await server.state())["totals"]["lost_s"] == 0.0


async def test_a_record_tells_whose_request_it_was():
    async with emulator(time_scale=0, reply="Nine.") as server:
        turns = [{"role": "user", "content": "17 count to 3"}, {"role": "assistant", "content": "1"}]
        await answer(server.url, "/api/chat", chat(stream=False, messages=turns))
        (record,) = await server.requests()
    assert record["question"] == "17 count to 3"
    assert record["begun"] == 1


async def test_a_record_of_a_long_message_tells_how_it_ends_too():
    async with emulator(time_scale=0, reply="Nine.") as server:
        turns = [{"role": "user", "content": f"Extracts: {'x' * 999} Question: the seventh?"}]
        await answer(server.url, "/api/chat", chat(stream=False, messages=turns))
        (record,) = await server.requests()
    assert record["question"].startswith("Extracts: xxx")
    assert record["question"].endswith("Question: the seventh?")
    assert len(record["question"]) < 200
    assert record["begun"] == 0


async def test_openais_dialect_keeps_a_temperature_that_was_named():
    async with emulator(time_scale=0, reply="Nine.") as server:
        await answer(server.url, "/v1/chat/completions", chat(temperature=0.2, max_tokens=5))
        (record,) = await server.requests()
    assert record["options"] == {"temperature": 0.2, "top_p": 1.0, "num_predict": 5}


async def test_a_graceful_restart_ends_streams_without_a_reset_but_just_as_early():
    async with emulator(time_scale=0.1, reply={"mode": "endless"}) as server:
        async with raw(server.url, "/api/chat", chat()) as it:
            await it.read_head()
            await server.fault("restart", s=0.5, graceful=True)
            assert not (await it.reader.read()).endswith(b"0\r\n\r\n")
        await server.until(lambda s: s["listening"])
        assert json.loads((await answer(server.url, "/api/ps"))[2]) == {"models": []}
