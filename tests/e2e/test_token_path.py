"""No token waits for the next one: the model says nothing more until the reader has seen what it said."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from backend.engines.base import Endpoint, Engine
from backend.engines.ollama import OllamaEngine
from backend.engines.openai_compat import OpenAICompatEngine
from backend.infra import language
from backend.infra.http import open_session
from backend.pool.base import Instance
from tests.support.live_app import HOURS, live_app, settings_in
from tests.support.wire import DONE, OK, chunk, wire_server

# Tokens that are said together: where a citation or a mark of reasoning may begin, what follows decides.
STEPS = (
    (" The",),
    (" door",),
    (".\n",),
    ("\n",),
    ("In",),
    (" [19", "90"),
    (" [", "1", "]", " a "),
    ("b<", ">"),
)


def ollama_line(token: str, *, done: bool = False) -> bytes:
    end = {"done_reason": "stop"} if done else {}
    return json.dumps({"message": {"content": token}, "done": done, **end}).encode() + b"\n"


Protocol = tuple[Callable[..., Engine], Callable[[str], bytes], tuple[bytes, ...]]
PROTOCOLS: dict[str, Protocol] = {
    "ollama": (
        lambda session: OllamaEngine(session, context_tokens=4096),
        ollama_line,
        (ollama_line("", done=True),),
    ),
    "openai": (OpenAICompatEngine, chunk, (chunk(finish="stop"), DONE)),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_reader_sees_each_token_before_the_next_is_said(
    protocol: str, tmp_path: Path, models_dir: Path
) -> None:
    make, line, end = PROTOCOLS[protocol]
    seen = [asyncio.Event() for _ in STEPS]
    said = [part for step, event in zip(STEPS, seen, strict=True) for part in (*map(line, step), event)]
    async with wire_server(OK, *said, *end) as server, open_session() as session:
        instance = Instance("one", Endpoint(server.url), make(session), 1)
        settings = settings_in(tmp_path / "data", models_dir, engine={"model": "m"})
        async with live_app(settings, [instance]) as app, asyncio.timeout(60):
            await app.put(HOURS)
            shown = await _follow(app, seen)
    assert shown == "".join(token for step in STEPS for token in step)


async def _follow(app, seen: list[asyncio.Event]) -> str:
    """Read an answer; let the model go on whenever all that it said is there, but for a blank at the end."""
    shown, expected, number = "", "", 0
    body = {"question": "When does the library open in the morning?"}
    async with app.stream("POST", "/api/v1/chat/stream", json=body) as (_, happening):
        async for event in happening:
            if event.name != "delta":
                continue
            shown += event.data["text"]
            while number < len(STEPS) and shown.rstrip(" ") == (expected + "".join(STEPS[number])).rstrip(
                " "
            ):
                expected += "".join(STEPS[number])
                seen[number].set()
                number += 1
    return shown


async def test_what_takes_long_to_load_is_loaded_before_the_first_question(
    tmp_path: Path, models_dir: Path
) -> None:
    language._detector.cache_clear()  # else it holds every stream of the process for a second
    async with live_app(settings_in(tmp_path / "data", models_dir)):
        assert language._detector.cache_info().currsize == 1
