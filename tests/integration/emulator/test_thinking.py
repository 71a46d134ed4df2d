"""Reasoning: what is told apart, and what a reader gets to see of a model that reasons all the same."""

import json

import pytest

from ollama_emulator.models import model
from tests.support.emulator import emulator
from tests.support.raw_http import answer, chat, raw

SAID = {"scripts": [{"content": "Three weeks [1].", "thinking": "secret plan"}]}
KNOWS = ("completion", "thinking")
ANYWAY = {"reasons_anyway": True}
CLOSING_ONLY = {"reasons_anyway": True, "think_tags": ("", "</think>")}
INSIDE = "<think>secret plan</think>\n\nThree weeks [1]."


async def told(model_, path="/api/chat", **more) -> tuple[list[str], list[str]]:
    """(pieces of thinking, pieces of content)"""
    body = chat(model="m", **more) if path.endswith("chat") else {"model": "m", "prompt": "hello", **more}
    async with (
        emulator(time_scale=0, models=(model_,), reply=SAID) as server,
        raw(server.url, path, body) as it,
    ):
        objects = [o.get("message") or o for o in await it.objects()]
    contents = [o.get("content", o.get("response")) for o in objects[:-1]]
    return [o["thinking"] for o in objects if o.get("thinking")], [piece for piece in contents if piece]


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
@pytest.mark.parametrize("more", [{}, {"think": True}, {"think": "high"}])
@pytest.mark.parametrize("anyway", [{}, ANYWAY])
async def test_a_template_that_knows_of_thinking_has_it_told_apart(path, more, anyway):
    thinking, content = await told(model("m", capabilities=KNOWS, **anyway), path, **more)
    assert ("".join(thinking), "".join(content)) == ("secret plan", "Three weeks [1].")


async def test_a_model_that_obeys_does_not_reason_when_it_is_told_not_to():
    assert await told(model("m", capabilities=KNOWS), think=False) == (
        [],
        ["Three", " weeks", " [", "1", "]", "."],
    )


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
async def test_a_model_that_reasons_all_the_same_shows_its_tags_each_as_a_piece(path):
    thinking, content = await told(model("m", capabilities=KNOWS, **ANYWAY), path, think=False)
    assert thinking == []
    assert content[:5] == ["<think>", "secret", " plan", "</think>", "\n\n"]
    assert "".join(content) == INSIDE


@pytest.mark.parametrize("more", [{}, {"think": False}])
async def test_so_does_one_whose_template_knows_nothing_of_it(more):
    thinking, content = await told(model("m", **ANYWAY), **more)
    assert (thinking, "".join(content)) == ([], INSIDE)


@pytest.mark.parametrize("more", [{}, {"think": True}, {"think": False}])
async def test_a_closing_tag_without_an_opening_one_is_passed_on_whatever_think_says(more):
    thinking, content = await told(model("m", capabilities=KNOWS, **CLOSING_ONLY), **more)
    assert (thinking, content[:3]) == ([], ["secret", " plan", "</think>"])
    assert "".join(content) == INSIDE.removeprefix("<think>")


@pytest.mark.parametrize(("think", "apart"), [(None, True), (True, True), (False, False)])
async def test_tags_of_a_script_are_the_models_own(think, apart):
    one = model("m", capabilities=KNOWS, **ANYWAY)
    async with emulator(time_scale=0, models=(one,), reply=INSIDE) as server:
        asked = chat(model="m", stream=False, think=think)
        message = json.loads((await answer(server.url, "/api/chat", asked))[2])["message"]
    whole = {"role": "assistant", "content": "Three weeks [1].", "thinking": "secret plan"}
    assert message == (whole if apart else {"role": "assistant", "content": INSIDE})


async def test_openais_dialect_shows_the_tags_too():
    one = model("m", capabilities=KNOWS, **ANYWAY)
    async with emulator(time_scale=0, models=(one,), reply=SAID) as server:
        asked = chat(model="m", reasoning_effort="none")
        whole = json.loads((await answer(server.url, "/v1/chat/completions", asked))[2])
    assert whole["choices"][0]["message"] == {"role": "assistant", "content": INSIDE}


async def test_tags_of_another_family_come_as_they_are():
    one = model("m", reasons_anyway=True, think_tags=("<|channel|>", "<|message|>"))
    _, content = await told(one)
    assert content[:4] == ["<|channel|>", "secret", " plan", "<|message|>"]


async def test_a_prefill_that_goes_on_does_not_reason_again():
    one = model("m", capabilities=KNOWS, **ANYWAY)
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "Three"}]
    assert await told(one, messages=messages, think=False) == ([], [" weeks", " [", "1", "]", "."])
