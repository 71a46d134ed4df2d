"""Model servers that refuse whatever we ask, through the whole application."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.core.errors import EngineRefused
from backend.engines.base import Endpoint
from backend.engines.scripted import ScriptedEngine, recite
from backend.pool.base import Instance
from tests.support.live_app import HOURS, live_app, settings_in, text_of

KEY = "operator-key-of-the-test"
REASON = "refuses the key: set LIBRI_ENGINE__OPENAI_API_KEY"
ANSWER = "It opens at nine [1]."
QUESTION = "When does the library open in the morning, question {}?"


def refusing(id: str, *, list_too: bool) -> Instance:
    error = EngineRefused(reason=REASON)
    engine = ScriptedEngine((error,), models=error if list_too else ("m",))
    return Instance(id, Endpoint("http://127.0.0.1:1"), engine, slots=2)


def well(id: str) -> Instance:
    return Instance(
        id, Endpoint("http://127.0.0.1:2"), ScriptedEngine(recite(ANSWER), models=("m",)), slots=2
    )


@pytest.mark.parametrize("list_too", [True, False])
async def test_one_of_two_costs_no_reader_anything_and_says_why(
    tmp_path: Path, models_dir: Path, list_too: bool
) -> None:
    settings = settings_in(tmp_path / "data", models_dir, auth={"api_key": KEY})
    instances = [refusing("openai-1", list_too=list_too), well("openai-2")]
    async with live_app(settings, instances) as app:
        app.client.headers["authorization"] = f"Bearer {KEY}"
        await app.put(HOURS)
        for n in range(6):
            happened = await app.ask(QUESTION.format(n))
            assert text_of(happened) == ANSWER
            assert not happened[-1].data.get("degraded")
        pool = (await app.client.get("/api/v1/admin/pool")).json()
        assert [(one["health"], one["reason"]) for one in pool["instances"]] == [
            ("open", REASON),
            ("closed", ""),
        ]
        check = (await app.client.get("/health/deep")).json()["checks"]["models"]
        assert check["ok"]
        assert check["detail"] == f"m; avoided: openai-1 ({REASON})"


@pytest.mark.parametrize("list_too", [True, False])
@pytest.mark.parametrize("model", ["", "m"])
async def test_where_all_refuse_the_documents_are_quoted(
    tmp_path: Path, models_dir: Path, list_too: bool, model: str
) -> None:
    settings = settings_in(tmp_path / "data", models_dir, auth={"api_key": KEY}, engine={"model": model})
    async with live_app(settings, [refusing("openai-1", list_too=list_too)]) as app:
        app.client.headers["authorization"] = f"Bearer {KEY}"
        await app.put(HOURS)
        for n in range(4):
            happened = await app.ask(QUESTION.format(n))
            assert happened[-1].name == "done"
            assert "nine in the morning" in text_of(happened)
            assert happened[-1].data["degraded"] == ["model"]
        check = (await app.client.get("/health/deep")).json()["checks"]["models"]
        assert not check["ok"]
        assert check["detail"] == f"no model server answers: openai-1 ({REASON})"
