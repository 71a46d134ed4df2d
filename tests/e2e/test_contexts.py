"""Contexts of every size, tokenizers of every kind, and a neighbour on the same Ollama: all is answered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from loadtests.emulator.models import Model, model
from tests.support.emulator import Emulator, emulator
from tests.support.live_app import Event, LiveApp, live_app, settings_in, text_of

NAME = "prose:8b"
ANSWER = "A loan runs for three weeks [1]."
FAST = {"time_scale": 0.001, "num_parallel": 2, "reply": ANSWER}
ROOMS = ("reading room", "map room", "music room", "garden room", "print room", "children's room")
LONG = " ".join(
    f"Rule {n}: whoever borrows a book from here brings it back to the desk by the door within three weeks, "
    "dry and whole, or pays what a new copy of the same edition costs the library."
    for n in range(1, 5)
)
SHELF = tuple(
    (
        f"{room}.md",
        f"# Loans from the {room}\n\nA loan from the {room} runs for three weeks. {LONG}\n".encode(),
    )
    for room in ROOMS
)
QUESTIONS = tuple(f"How long does a loan from the {room} run?" for room in ROOMS)


def engine_settings(*servers: Emulator, **more: Any) -> dict[str, Any]:
    return {
        "backend": "ollama",
        "ollama_urls": [one.url for one in servers],
        "model": NAME,
        "slots": 2,
        **more,
    }


@asynccontextmanager
async def served(
    folder: Path, models: Path, *tables: Model, settings: dict[str, Any] | None = None, **knobs: Any
) -> AsyncIterator[tuple[LiveApp, list[Emulator]]]:
    """The application over an Ollama for each of `tables`, with a shelf of six long documents."""
    async with AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(emulator(models=(one,), **(FAST | knobs))) for one in tables
        ]
        engine = engine_settings(*servers, **(settings or {}))
        live = live_app(settings_in(folder / "data", models, engine=engine), instances=None)
        app = await stack.enter_async_context(live)
        await app.put(*SHELF)
        yield app, servers


async def chats(server: Emulator) -> list[dict[str, Any]]:
    """Requests that were answered."""
    return [one for one in await server.requests() if one["path"] == "/api/chat" and one["tokens"]]


def answered(happened: list[Event]) -> bool:
    """A model said it, whole."""
    end = happened[-1]
    return end.name == "done" and not end.data["degraded"] and text_of(happened) == ANSWER


@pytest.mark.parametrize(
    ("train_ctx", "token_chars"), [(1024, 4), (4096, 1), (1024, 2), (1024, 1), (2048, 2), (262_144, 4)]
)
async def test_whatever_the_context_and_the_tokenizer_every_question_is_answered_and_nothing_outgrows(
    train_ctx: int, token_chars: int, tmp_path: Path, models_dir: Path
) -> None:
    small = model(NAME, train_ctx=train_ctx, token_chars=token_chars)
    async with served(tmp_path, models_dir, small) as (app, (server,)):
        assert [answered(await app.ask(question)) for question in QUESTIONS] == [True] * len(QUESTIONS)
        context = min(train_ctx, 4096)
        for one in await chats(server):
            assert one["prompt_tokens"] + one["options"]["num_predict"] <= context


async def test_a_neighbour_with_ollamas_defaults_makes_the_model_reload_never(
    tmp_path: Path, models_dir: Path
) -> None:
    async with served(tmp_path, models_dir, model(NAME)) as (app, (server,)):
        for number in range(20):
            assert answered(await app.ask(f"{QUESTIONS[0]} Visit {number}."))
            body = {"model": NAME, "messages": [{"role": "user", "content": "Hello."}], "stream": False}
            async with server.session.post(f"{server.url}/api/chat", json=body) as response:
                assert response.status == 200
        assert len(await server.events(kind="load_begin")) == 1
