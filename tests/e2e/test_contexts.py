"""Contexts of every size, tokenizers of every kind, and a neighbour on the same Ollama: all is answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from backend.cli.doctor import of_contexts
from ollama_emulator.models import Model, model
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


@pytest.mark.parametrize(("train_ctx", "word_letters"), [(1024, 4), (1024, 2), (4096, 1), (262_144, 4)])
async def test_whatever_the_context_and_the_tokenizer_every_question_is_answered_and_nothing_outgrows(
    train_ctx: int, word_letters: int, tmp_path: Path, models_dir: Path
) -> None:
    small = model(NAME, train_ctx=train_ctx, word_letters=word_letters)
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


async def test_who_follows_up_is_answered_with_a_small_context_too(tmp_path: Path, models_dir: Path) -> None:
    async with served(tmp_path, models_dir, model(NAME, train_ctx=1024)) as (app, (server,)):
        conversation = None
        for question in QUESTIONS:
            happened = await app.ask(question, conversation_id=conversation)
            conversation = happened[0].data["conversation_id"]
            assert answered(happened)
        for one in await chats(server):
            assert one["prompt_tokens"] + one["options"]["num_predict"] <= 1024


async def test_only_what_the_model_was_given_is_cited(tmp_path: Path, models_dir: Path) -> None:
    reply = "Three weeks [1][2][3][4][5][6]."
    small = model(NAME, train_ctx=1024, word_letters=2)
    async with served(tmp_path, models_dir, small, reply=reply) as (app, _):
        for question in QUESTIONS:
            happened = await app.ask(question)
            shown = next(event.data["sources"] for event in happened if event.name == "sources")
            cited = happened[-1].data["citations"]
            assert cited == list(range(1, len(cited) + 1))
            assert 1 <= len(cited) < 6
            assert len(shown) >= len(cited)
            assert text_of(happened) == f"Three weeks {''.join(f'[{n}]' for n in cited)}."


async def test_a_model_loaded_anew_with_less_since_the_last_look_is_asked_for_less(
    tmp_path: Path, models_dir: Path
) -> None:
    async with served(tmp_path, models_dir, model(NAME)) as (app, (server,)):
        assert answered(await app.ask(QUESTIONS[0]))
        await server.knobs(context_length=1024)
        await server.fault("evict_now")
        for question in QUESTIONS[1:]:
            assert answered(await app.ask(question))
        assert [one["num_ctx"] for one in (await server.state())["loaded"]] == [1024]
        for one in (await chats(server))[1:]:
            assert one["prompt_tokens"] + one["options"]["num_predict"] <= 1024


async def test_each_instance_gets_what_fits_its_context(tmp_path: Path, models_dir: Path) -> None:
    small, large = model(NAME, train_ctx=1024), model(NAME, train_ctx=131_072)
    async with served(tmp_path, models_dir, small, large) as (app, servers):
        for server in servers:
            await server.load(NAME)
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(app.ask(f"{q} Visit {n}.")) for n in range(3) for q in QUESTIONS]
        assert all(answered(one.result()) for one in asked)
        for server, context in zip(servers, (1024, 4096), strict=True):
            for one in await chats(server):
                assert one["prompt_tokens"] + one["options"]["num_predict"] <= context


async def test_a_question_that_fills_the_context_is_refused_in_so_many_words(
    tmp_path: Path, models_dir: Path
) -> None:
    async with served(tmp_path, models_dir, model(NAME, train_ctx=1024)) as (app, _):
        question = QUESTIONS[0] + " I ask because I have borrowed many books from there." * 120
        happened = await app.ask(question)
        assert happened[-1].name == "error"
        assert happened[-1].data["code"] == "context_overflow"
        assert happened[-1].data["message"] == "the question does not fit the model's context"
        assert not happened[-1].data["retryable"]
        assert answered(await app.ask(QUESTIONS[0]))


async def test_where_the_operator_set_a_context_it_is_asked_for_and_a_neighbour_shows(
    tmp_path: Path, models_dir: Path
) -> None:
    settings = {"context_tokens": 8192}
    async with served(tmp_path, models_dir, model(NAME), settings=settings) as (app, (server,)):
        assert answered(await app.ask(QUESTIONS[0]))
        assert [one["num_ctx"] for one in (await server.state())["loaded"]] == [8192]
        assert await reason(app) == ""
        await server.load(NAME)
        async with asyncio.timeout(30):
            while "4096" not in (said := await reason(app)):
                await asyncio.sleep(0.1)
        assert "8192" in said
        assert answered(await app.ask(QUESTIONS[1]))
        assert [one["num_ctx"] for one in (await server.state())["loaded"]] == [8192]


async def reason(app: LiveApp) -> str:
    return (await app.services.pool.status()).instances[0].reason


async def test_the_doctor_names_a_model_that_is_too_small(tmp_path: Path, models_dir: Path) -> None:
    async with served(tmp_path, models_dir, model(NAME, train_ctx=512)) as (app, _):
        assert answered(await app.ask(QUESTIONS[0]))
        contexts = [one.contexts for one in (await app.services.pool.status()).instances]
        (finding,) = of_contexts(app.services.settings, contexts)
        assert (finding.state, finding.what) == ("note", "small context")
        assert f"{NAME}: 512 tokens" in finding.detail
        assert "LIBRI_CHAT__MAX_TOKENS" in finding.advice
