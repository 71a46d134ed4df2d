"""`GET /api/v1/models` and asking for one of them: the real application, an emulated Ollama."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from tests.support.emulator import Emulator, emulator
from tests.support.live_app import HOURS, LiveApp, live_app, settings_in

QUESTION = "When does the library open in the morning?"


@pytest.fixture
async def server() -> AsyncIterator[Emulator]:
    async with emulator(time_scale=0.001, reply="It opens at nine [1].") as running:
        yield running


@pytest.fixture
async def app(server: Emulator, tmp_path: Path, models_dir: Path) -> AsyncIterator[LiveApp]:
    engine = {"ollama_urls": [server.url], "model": "llama3.1:8b"}
    settings = settings_in(tmp_path / "data", models_dir, engine=engine)
    async with live_app(settings, instances=None) as live:
        await live.put(HOURS)
        yield live


async def listed(app: LiveApp) -> dict[str, dict[str, object]]:
    body = (await app.client.get("/api/v1/models")).json()
    return {model["name"]: model for model in body["models"]}


async def until(app: LiveApp, holds: Callable[[dict[str, dict[str, object]]], bool]) -> None:
    """The list is a few seconds old at most."""
    async with asyncio.timeout(60):
        while not holds(await listed(app)):
            await asyncio.sleep(0.1)


async def test_a_reader_learns_what_there_is_and_what_answers_by_default(app: LiveApp) -> None:
    body = (await app.client.get("/api/v1/models")).json()
    assert body["default"] == "llama3.1:8b"
    assert body["options"] == {"temperature": 0.0, "max_tokens": 512}
    plain = next(model for model in body["models"] if model["name"] == "llama3.1:8b")
    assert plain == {
        "name": "llama3.1:8b", "thinks": False, "parameters": "8.0B", "quantisation": "Q4_K_M",
        "size_bytes": 4_920_000_000, "context_tokens": 131_072, "loaded": False,
    }  # fmt: skip
    assert not any("embed" in model["name"] for model in body["models"])


async def test_what_is_in_memory_somewhere_is_said_to_be_loaded(app: LiveApp, server: Emulator) -> None:
    async with httpx.AsyncClient(timeout=30) as client:
        await client.post(f"{server.url}/api/generate", json={"model": "qwen3:8b", "keep_alive": -1})
    await until(app, lambda models: models["qwen3:8b"]["loaded"] is True)
    models = await listed(app)
    assert models["qwen3:8b"]["thinks"] is True
    assert models["llama3.1:8b"]["loaded"] is False


async def test_the_model_asked_for_answers_and_thinks_if_it_is_to(app: LiveApp) -> None:
    happened = await app.ask(QUESTION, model="qwen3:8b", options={"thinking": True})
    assert happened[0].data["model"] == "qwen3:8b"
    assert {"thinking", "delta"} <= {event.name for event in happened}


async def test_a_model_that_nobody_offers_has_an_error_of_its_own(app: LiveApp) -> None:
    refused = await app.client.post("/api/v1/chat", json={"question": QUESTION, "model": "gone:1b"})
    assert (refused.status_code, refused.json()["code"]) == (404, "model_not_offered")
    assert "gone" not in refused.text


async def test_models_are_offered_though_nobody_says_what_is_loaded(
    server: Emulator, tmp_path: Path, models_dir: Path
) -> None:
    await server.fault("accept_then_hang", paths="/api/ps")
    settings = settings_in(tmp_path / "data", models_dir, engine={"ollama_urls": [server.url]})
    async with live_app(settings, instances=None) as live:
        assert (await listed(live))["llama3.1:8b"]["loaded"] is None


async def test_with_no_server_the_list_is_empty_and_the_default_is_named(
    app: LiveApp, server: Emulator
) -> None:
    await server.fault("refuse")
    await until(app, lambda models: not models)
    body = (await app.client.get("/api/v1/models")).json()
    assert (body["models"], body["default"]) == ([], "llama3.1:8b")
