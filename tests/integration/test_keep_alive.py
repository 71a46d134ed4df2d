"""How long Ollama keeps a model, emulated: a question is answered by the model whatever it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.config import Engine
from tests.support.emulator import emulator
from tests.support.live_app import HOURS, live_app, settings_in, text_of

MODEL = "llama3.1:8b"
ANSWER = "The library opens at nine [1]."


@pytest.mark.parametrize("keep_alive", ["0", "-1", "30m", "1ms", "3s", "-5m", "0h"])
async def test_a_question_is_answered_by_the_model(keep_alive: str, tmp_path: Path, models_dir: Path) -> None:
    async with emulator(time_scale=1.0, num_parallel=2, reply=ANSWER, preset="7b-3090") as ollama:
        engine = Engine(
            backend="ollama", ollama_urls=(ollama.url,), model=MODEL, slots=2, ollama_keep_alive=keep_alive
        )
        settings = settings_in(tmp_path / "data", models_dir, engine=engine)
        async with live_app(settings, instances=None) as app:
            await app.put(HOURS)
            for question in ("When does the library open?", "How often can a loan be renewed?"):
                happened = await app.ask(question)
                assert text_of(happened) == ANSWER
                assert happened[-1].data["degraded"] == []
            (one,) = (await app.client.get("/api/v1/admin/pool")).json()["instances"]
            assert one["health"] == "closed"
