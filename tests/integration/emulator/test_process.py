"""The command: an instance in a process of its own."""

import asyncio
import sys

from tests.support.emulator import emulator
from tests.support.raw_http import answer, chat, raw


async def test_a_process_serves_and_is_steered_through_its_control_port():
    async with emulator(process=True, time_scale=0, reply="Hello [1].") as server:
        async with raw(server.url, "/api/chat", chat()) as it:
            assert (await it.objects())[-1]["done_reason"] == "stop"
        await server.fault("status", code=429)
        assert (await answer(server.url, "/api/chat", chat()))[0] == 429
        await server.reset()
        assert (await answer(server.url, "/api/chat", chat(stream=False)))[0] == 200
        assert (await server.state())["totals"]["requests"] == 1


async def test_recite_cites_the_passages_of_the_prompt():
    prompt = '<extract n="1">\nHours\nThe hall opens at nine. It is old.\n</extract>\n' + (
        '<extract n="2">\nTickets\nEntry is free.\n</extract>\n\nQuestion: when?'
    )
    async with emulator(time_scale=0, reply={"mode": "recite"}) as server:
        async with raw(server.url, "/api/chat", chat(prompt)) as it:
            text = "".join(o["message"]["content"] for o in await it.objects())
        async with raw(server.url, "/api/chat", chat("no passages")) as it:
            bare = "".join(o["message"]["content"] for o in await it.objects())
    assert text == "The hall opens at nine [1]. Entry is free [2]."
    assert "[1]" in bare
    assert "[2]" in bare


async def test_an_unknown_knob_ends_the_command_with_a_sentence():
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ollama_emulator", "--set", "slots=3"), stderr=asyncio.subprocess.PIPE
    )
    _, said = await child.communicate()
    assert child.returncode == 1
    assert b"unknown knob 'slots'; known: context_length" in said
