"""The whole path with a real llama.cpp server behind it: tiny weights, made here."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from devstack.llamacpp import LlamaServer, llama_server
from tests.support import tiny_model
from tests.support.live_app import HOURS, live_app, settings_in, text_of

QUESTION = "When does the library open in the morning?"


def engine_at(server: LlamaServer) -> dict[str, object]:
    return {"backend": "openai", "openai_urls": [server.url], "slots": 2}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gguf")


async def test_a_question_is_answered_by_a_real_model_with_its_sources(
    weights: Path, tmp_path: Path, models_dir: Path
) -> None:
    said = "The library opens at nine [1] on most mornings [9]."
    model = tiny_model.build(weights / "recite.gguf", answer=said)
    with llama_server(model, slots=2) as server:
        settings = settings_in(tmp_path / "data", models_dir, engine=engine_at(server))
        async with live_app(settings, instances=None) as app:
            await app.put(HOURS)
            happened = await app.ask(QUESTION)
    assert text_of(happened) == "The library opens at nine [1] on most mornings."
    assert happened[-1].data["citations"] == [1]
    assert happened[-1].data["usage"]["completion_tokens"] > 5
    assert happened[0].data["model"].endswith("recite.gguf")


async def test_stopping_half_way_frees_the_slot_of_the_real_server(
    weights: Path, tmp_path: Path, models_dir: Path
) -> None:
    model = tiny_model.build(weights / "babble.gguf", mode="random")
    with llama_server(model, slots=2) as server:
        chat = {"max_tokens": 20_000, "deadline_s": 60}
        engine = engine_at(server) | {"context_tokens": 28_000}
        settings = settings_in(tmp_path / "data", models_dir, engine=engine, chat=chat)
        async with live_app(settings, instances=None) as app:
            await app.put(HOURS)
            body = {"question": QUESTION}
            async with app.stream("POST", "/api/v1/chat/stream", json=body) as (_, incoming):
                run = (await anext(incoming)).data["run_id"]
                async for event in incoming:
                    if event.name == "delta":
                        break
                assert await asyncio.to_thread(server.busy) == 1
                assert (await app.client.delete(f"/api/v1/runs/{run}")).status_code == 204
                rest = [event async for event in incoming]
            assert rest[-1].data["finish_reason"] == "stopped"
            assert await asyncio.to_thread(server.seconds_until_idle) < 1.0
