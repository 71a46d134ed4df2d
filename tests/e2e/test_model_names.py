"""Every name that is offered can be asked for; what cannot be offered safely is left out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from backend.core.instances import InstanceSpec
from tests.support.live_app import HOURS, LiveApp, live_app, settings_in
from tests.support.wire import DONE, LAST, NDJSON, OK, chunk, line, model_server

PATH = "/srv/models/Meta Llama 3.1 (8B) [Instruct]/" + "q4_k_m," * 14 + "v=1.gguf"
FINE = (PATH, "hf.co/org/Modèle:Q4", "m|x,y;z#1?a=b&c%20", "'\"<b>{}", "Pair", "pair", "a" * 512)
BAD = ("", " m", "a\nb", "\x1b[31mred", "a\u202egfe", "a\u200bb", "\ud800x", "a" * 513, "*", None, 7)
UNFIT = (*BAD, "extractive")
QUESTION = "When does the library open in the morning?"
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def application(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> AsyncIterator[LiveApp]:
    settings = settings_in(tmp_path_factory.mktemp("names") / "data", models_dir, engine={"ollama_urls": ()})
    async with live_app(settings, instances=None) as app:
        await app.put(HOURS)
        yield app


def openai(_: Any) -> list[bytes]:
    return [OK, chunk("At nine [1]."), chunk(finish="stop"), DONE]


def ollama(_: Any) -> list[bytes]:
    return [NDJSON, line("At nine [1]."), LAST]


@pytest.mark.parametrize("kind", ["openai", "ollama"])
async def test_all_that_is_offered_is_answered_by_that_model(
    application: LiveApp, kind: Any, caplog: pytest.LogCaptureFixture
) -> None:
    say = openai if kind == "openai" else ollama
    fine = FINE if kind == "openai" else tuple(name for name in FINE if name != "pair")
    async with model_server(say, names=(*UNFIT, *fine, *fine)) as server:
        await application.services.operator.add(InstanceSpec(f"named-{kind}", kind, server.url, slots=4))
        try:
            listed = (await application.client.get("/api/v1/models")).json()
            assert [model["name"] for model in listed["models"]] == list(fine)
            for name in fine:
                asked = {"question": QUESTION, "model": name}
                answer = (await application.client.post("/api/v1/chat", json=asked)).json()
                assert (answer["model"], answer["answer"], answer["degraded"]) == (name, "At nine [1].", [])
                assert server.chats[-1]["model"] == name
            metrics = (await application.client.get("/metrics")).text
            assert "Meta Llama 3.1 (8B) [Instruct]/" in metrics
        finally:
            await application.services.operator.remove(f"named-{kind}")
    told = [record for record in caplog.records if getattr(record, "event", "") == "names_left_out"]
    assert len(told) == 1


@pytest.mark.parametrize("name", ["", " m", "a\nb", "\x1b[31m", "a\u202eb", "\u200b", "a" * 513, "*", 7])
async def test_what_is_no_name_is_refused_in_one_line(application: LiveApp, name: Any) -> None:
    refused = await application.client.post("/api/v1/chat", json={"question": QUESTION, "model": name})
    assert refused.status_code == 422
    assert len(refused.content) < 1000


async def test_names_of_corpora_stay_as_strict_as_they_were(application: LiveApp) -> None:
    asked = {"question": QUESTION, "corpora": ["with blanks [x]"]}
    assert (await application.client.post("/api/v1/chat", json=asked)).status_code == 422
