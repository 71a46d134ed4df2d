"""What the health routes say when something hangs or fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backend.cli.doctor import ADVICE
from backend.core.errors import EmbedderUnavailable
from backend.embedding.batching import BatchingEmbedder
from backend.engines.scripted import ScriptedEngine, recite
from backend.retrieval.chroma import ChromaIndex
from backend.retrieval.lexical_tantivy import TantivyIndex
from backend.wiring.services import open_services
from tests.support.live_app import LiveApp, live_app, scripted, settings_in


@pytest.fixture
async def app(tmp_path: Path, models_dir: Path) -> AsyncIterator[LiveApp]:
    async with live_app(settings_in(tmp_path / "data", models_dir)) as live:
        yield live


async def hangs(*_: object) -> int:
    return await asyncio.Future()


async def test_without_model_servers_by_choice_nothing_is_missing(app: LiveApp) -> None:
    ready = await app.client.get("/health/ready")
    assert (ready.status_code, ready.json()) == (200, {"status": "ok", "broken": []})


async def test_a_model_server_that_is_down_is_missing(tmp_path: Path, models_dir: Path) -> None:
    instances = scripted(ScriptedEngine(recite("x"), models=()))
    async with live_app(settings_in(tmp_path / "data", models_dir), instances) as app:
        ready = await app.client.get("/health/ready")
    assert (ready.status_code, ready.json()) == (200, {"status": "degraded", "broken": ["models"]})


async def test_one_index_that_hangs_is_bearable_and_two_are_not(
    app: LiveApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ChromaIndex, "count", hangs)
    assert (await app.client.get("/health/ready")).status_code == 200
    await asyncio.sleep(1.1)  # as long as a look is remembered
    monkeypatch.setattr(TantivyIndex, "count", hangs)
    ready = await app.client.get("/health/ready")
    assert (ready.status_code, ready.json()) == (503, {"status": "unavailable", "broken": ["retrieval"]})


async def test_many_probes_at_once_and_within_a_second_embed_once(
    app: LiveApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    async def counted(*_: object) -> None:
        nonlocal calls
        calls += 1

    monkeypatch.setattr(BatchingEmbedder, "embed_queries", counted)
    answers = await asyncio.gather(*(app.client.get("/health/ready") for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert calls < 10, "one for each second that it took"
    before = calls
    await asyncio.sleep(1.1)
    await app.client.get("/health/ready")
    assert calls == before + 1


async def test_an_embedder_that_fails_is_seen_though_its_answers_are_remembered(
    app: LiveApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> None:
        raise EmbedderUnavailable

    assert (await app.client.get("/health/deep")).json()["checks"]["embedder"]["ok"]
    monkeypatch.setattr(BatchingEmbedder, "embed_queries", fails)
    assert not (await app.client.get("/health/deep")).json()["checks"]["embedder"]["ok"]


async def test_a_check_that_runs_out_of_time_stays_as_needed_as_it_was(
    app: LiveApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.health.CHECK_TIMEOUT_S", 0.05)
    monkeypatch.setattr(ChromaIndex, "count", hangs)
    assert (await app.client.get("/health/ready")).status_code == 503
    checks = (await app.client.get("/health/deep")).json()["checks"]
    assert checks["retrieval"]["needed"]
    assert checks["retrieval"]["detail"] == "no answer"


async def test_doctor_has_advice_for_each_check_and_no_other(tmp_path: Path, models_dir: Path) -> None:
    instances = scripted(ScriptedEngine(recite("x")))
    async with open_services(settings_in(tmp_path / "data", models_dir), instances=instances) as services:
        assert set(services.checks) == set(ADVICE)
