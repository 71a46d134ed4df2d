"""Answers that break off on one Ollama and go on at another: over sockets, with every template and bound."""

from typing import get_args

import pytest

from backend.core.clock import SystemClock
from backend.core.types import Sampling
from backend.engines.base import End, Endpoint, Text
from backend.engines.ollama import OllamaEngine
from backend.infra.http import open_session
from backend.pool.base import Assigned, Restarted
from ollama_emulator.models import Prefill, model
from ollama_emulator.tokens import tokenise
from tests.support.asks import a_request, an_ask, an_instance
from tests.support.emulator import emulator
from tests.support.pool import a_pool
from tests.support.texts import TEXTS

BEHAVIOURS = [behaviour for behaviour in get_args(Prefill) if behaviour != "user_turn"]
"""What a model says in a user's turn is not its answer: tests/unit/pool/test_failover.py holds that one."""
KINDS = ("prose", "German nouns", "a table", "code", "Chinese", "emoji")


async def told(text, behaviour, bound, *, breaks_after):
    """The events of one answer; the server that is asked first says `breaks_after` pieces of it."""
    knobs = {"time_scale": 0.001, "reply": text, "models": (model("m", prefill=behaviour),)}
    async with emulator(**knobs) as one, emulator(**knobs) as other, open_session() as session:
        engine = OllamaEngine(session, context_tokens=4096)
        for server in (one, other):
            await engine.load(Endpoint(server.url), "m", within_s=10)
        instances = [an_instance(engine, server.url, url=server.url) for server in (one, other)]
        async with a_pool(*instances, clock=SystemClock()) as it:
            request = a_request("When?", sampling=Sampling(0.0, bound))
            events = it.pool.generate(an_ask(), request)
            shown = [await anext(events)]
            first = one if shown[0].instance == one.url else other
            if breaks_after:
                await first.fault("eof_mid", k=breaks_after)
            return shown + [event async for event in events]


def read(events):
    assert not any(isinstance(event, Restarted) for event in events)
    assert isinstance(events[-1], End)
    return "".join(event.text for event in events if isinstance(event, Text)), events[-1].finish_reason


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_text_of_any_kind_is_told_whole_by_a_model_of_any_template(kind, behaviour):
    text = TEXTS[kind]
    many = len(tokenise(text))
    for bound, whole in ((many, True), (many // 2 + many // 4, False)):
        events = await told(text, behaviour, bound, breaks_after=many // 2)
        assert sum(isinstance(event, Assigned) for event in events) == 2
        said, reason = read(events)
        expected = "".join(tokenise(text)[:bound])
        assert text.startswith(said)
        assert said.startswith(expected)
        assert len(tokenise(said)) <= bound + 4  # seen: 3, where pieces are split words
        assert whole or reason == "length"
