"""Two clients of one model in turns: what makes it load again at every change, and what does not."""

import asyncio
import json

import pytest

from ollama_emulator.models import model
from tests.support.emulator import emulator
from tests.support.raw_http import answer, chat, raw

PATHS = {"native": "/api/chat", "openai": "/v1/chat/completions"}


async def loads(one: dict, other: dict, *, path="/api/chat", rounds=20, **knobs) -> int:
    """How often the model is loaded while two clients ask in turns, `rounds` times each."""
    async with emulator(time_scale=0, reply="Nine.", **knobs) as server:
        for _ in range(rounds):
            for body, where in ((one, "/api/chat"), (other, path)):
                assert (await answer(server.url, where, chat(stream=False, **body)))[0] == 200
        return len(await server.events(kind="load_end"))


@pytest.mark.parametrize(
    "ours",
    [
        {"shift": False, "options": {"num_ctx": 4096}},
        {"shift": False},
        {"options": {"num_ctx": 8192}},
        {"shift": False, "truncate": False},
        {"options": {"num_batch": 256}},
    ],
)
@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
async def test_a_context_or_a_shift_of_ones_own_loads_at_every_change_of_client(ours, path):
    assert await loads(ours, {}, path=path) == 40


@pytest.mark.parametrize(
    "ours",
    [
        {},
        {"truncate": False},
        {"shift": True},
        {"options": {"num_ctx": 4096}},
        {"truncate": False, "options": {"num_ctx": 4096}},
        {"options": {"num_predict": 3, "temperature": 0, "num_keep": 0, "seed": 1}},
        {"think": False, "keep_alive": "10m"},
    ],
)
@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
async def test_nothing_of_the_kind_loads_it_once(ours, path):
    assert await loads(ours, {}, path=path) == 1


async def test_the_servers_own_context_is_what_the_operator_gave_it():
    for context, expected in ((8192, 1), (4096, 40)):
        assert await loads({"options": {"num_ctx": context}}, {}, context_length=8192) == expected


async def test_a_context_beyond_what_the_model_was_trained_for_is_the_same_context():
    small = model("small", train_ctx=1024)
    async with emulator(time_scale=0, models=(small,), reply="Nine.") as server:
        for options in ({"num_ctx": 65_536}, {"num_ctx": 1024}, {}, {"num_ctx": 2048}):
            await answer(server.url, "/api/chat", chat(model="small", stream=False, options=options))
            (row,) = json.loads((await answer(server.url, "/api/ps"))[2])["models"]
            assert row["context_length"] == 1024
        assert len(await server.events(kind="load_end")) == 1


async def test_a_runner_that_is_to_be_reloaded_serves_its_own_at_once_and_the_list_answers():
    async with emulator(time_scale=0.1, num_parallel=2, reply={"mode": "endless"}) as server:
        async with raw(server.url, "/api/chat", chat()) as first:
            await first.read_head()
            other = asyncio.ensure_future(
                answer(server.url, "/api/chat", chat(shift=False, options={"num_predict": 2}))
            )
            await server.until(lambda s: s["loaded"][0]["keep_alive_s"] == 0)
            async with asyncio.timeout(5):
                own = await answer(server.url, "/api/chat", chat(stream=False, options={"num_predict": 2}))
                listed = await answer(server.url, "/api/ps")
            assert (own[0], len(json.loads(listed[2])["models"]), other.done()) == (200, 1, False)
        assert (await other)[0] == 200
        assert len(await server.events(kind="load_end")) == 2


async def test_a_client_that_does_not_read_holds_up_nobody():
    async with (
        emulator(time_scale=0, num_parallel=2, reply="word " * 20_000) as server,
        raw(server.url, "/api/chat", chat()) as lazy,
    ):
        asked = chat(stream=False, options={"num_predict": 50})
        for _ in range(3):
            async with asyncio.timeout(20):
                assert json.loads((await answer(server.url, "/api/chat", asked))[2])["eval_count"] == 50
        async with asyncio.timeout(60):
            assert (await lazy.objects())[-1]["eval_count"] > 19_000


async def test_a_chat_that_is_not_to_be_kept_is_unloaded_after_it():
    async with emulator(time_scale=0, reply="Nine.") as server:
        await answer(server.url, "/api/chat", chat(stream=False, keep_alive=0))
        assert json.loads((await answer(server.url, "/api/ps"))[2]) == {"models": []}


@pytest.mark.parametrize(("first", "last", "kept"), [(0, -1, True), (-1, 0, False), ("5m", None, True)])
async def test_the_last_keep_alive_wins(first, last, kept):
    async with emulator(time_scale=0, reply="Nine.") as server:
        await server.load("llama3.1:8b")
        for keep in (first, last):
            await answer(server.url, "/api/chat", chat(stream=False, keep_alive=keep))
        assert bool(json.loads((await answer(server.url, "/api/ps"))[2])["models"]) == kept


async def test_for_ever_is_two_hundred_and_ninety_two_years():
    async with emulator(time_scale=0, reply="Nine.") as server:
        await answer(server.url, "/api/chat", chat(stream=False, keep_alive=-1))
        (row,) = json.loads((await answer(server.url, "/api/ps"))[2])["models"]
        now = json.loads((await answer(server.url, "/api/chat", chat(stream=False)))[2])["created_at"]
    assert int(row["expires_at"][:4]) - int(now[:4]) == 292
