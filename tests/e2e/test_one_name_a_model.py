"""A model of Ollama by any of its names: the real application, an emulated Ollama."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ollama_emulator.models import model
from tests.support.emulator import Emulator, emulator
from tests.support.live_app import HOURS, LiveApp, live_app, settings_in, text_of

ANSWER = "It opens at nine [1]."
NAME = "prose:latest"


@pytest.fixture
async def server() -> AsyncIterator[Emulator]:
    async with emulator(time_scale=0.001, models=(model("prose"),), reply=ANSWER) as running:
        yield running


@pytest.fixture(params=["", "prose", "Prose", "PROSE:latest"])
async def app(
    server: Emulator, tmp_path: Path, models_dir: Path, request: pytest.FixtureRequest
) -> AsyncIterator[LiveApp]:
    engine = {"backend": "ollama", "ollama_urls": [server.url], "model": request.param}
    async with live_app(settings_in(tmp_path / "data", models_dir, engine=engine), instances=None) as live:
        await live.put(HOURS)
        yield live


async def test_a_model_has_one_name_everywhere_whatever_it_is_asked_for_as(app: LiveApp) -> None:
    wanted = ({}, {"model": "prose"}, {"model": "Prose"}, {"model": NAME})
    for n, body in enumerate(wanted):
        happened = await app.ask(f"When does the library open in the morning, question {n}?", **body)
        assert happened[0].data["model"] == NAME
        assert text_of(happened) == ANSWER
        assert not happened[-1].data.get("degraded")
    async with asyncio.timeout(60):
        while not (one := (await app.services.pool.status()).instances[0]).ready:
            await asyncio.sleep(0.1)
    assert (one.ready, one.cold) == ((NAME,), ())
    models = (await app.client.get("/api/v1/models")).json()
    assert ([each["name"] for each in models["models"]], models["default"]) == ([NAME], NAME)
    metrics = (await app.client.get("/metrics")).text
    asked = {line.split('gen_ai_request_model="')[1].split('"')[0] for line in metrics.splitlines()
             if 'gen_ai_request_model="' in line}  # fmt: skip
    assert asked == {NAME}
