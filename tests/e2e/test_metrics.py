"""What `/metrics` tells of a process that has worked."""

from __future__ import annotations

import asyncio
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from backend.core.errors import EngineUnreachable
from backend.engines.base import Endpoint, Text
from backend.engines.scripted import Hold, ScriptedEngine, recite
from backend.pool.base import Instance
from tests.support.live_app import DEFAULT, HOURS, LiveApp, live_app, scripted, settings_in, text_of


async def scraped(app: LiveApp) -> dict[str, float]:
    """Samples by name and the values of their labels."""
    text = (await app.client.get("/metrics")).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {" ".join((sample.name, *sample.labels.values())): sample.value for sample in samples}


async def test_documents_are_counted_by_how_they_ended(tmp_path: Path, models_dir: Path) -> None:
    async with live_app(settings_in(tmp_path / "data", models_dir)) as app:
        await app.put(HOURS, ("broken.pdf", b"%PDF-1.7\nnothing"), ("a.exe", b"MZ"))
        await app.put(HOURS)
        samples = await scraped(app)
        (document,) = await app.services.catalogue.documents(DEFAULT)
    counted = {
        kind: samples[f"libri_ingest_documents_total {kind}"] for kind in ("done", "unchanged", "failed")
    }
    assert counted == {"done": 1, "unchanged": 1, "failed": 2}
    assert samples["libri_ingest_passages_total"] == document.passages
    assert samples["libri_ingest_duration_seconds_count"] == 1


async def test_who_waits_for_a_slot_is_counted(tmp_path: Path, models_dir: Path) -> None:
    release = asyncio.Event()
    engine = ScriptedEngine((Hold(release), *recite("At nine [1].")))
    async with live_app(settings_in(tmp_path / "data", models_dir), scripted(engine, slots=1)) as app:
        await app.put(HOURS)
        asked = [
            asyncio.ensure_future(app.ask(f"When does the library open {when}?"))
            for when in ("today", "in May")
        ]
        async with asyncio.timeout(60):
            while (await scraped(app))["libri_queue_depth interactive"] != 1:
                await asyncio.sleep(0.02)
        release.set()
        await asyncio.gather(*asked)
        assert (await scraped(app))["libri_queue_depth interactive"] == 0


async def test_a_retry_is_counted_once_with_its_phase_and_the_wait_is_that_for_the_first_slot(
    tmp_path: Path, models_dir: Path
) -> None:
    engine = ScriptedEngine((EngineUnreachable(),), recite("At nine [1]."), models=("m",))
    twins = [Instance(id, Endpoint(""), engine, 1) for id in ("one", "two")]
    async with live_app(settings_in(tmp_path / "data", models_dir), twins) as app:
        await app.put(HOURS)
        assert text_of(await app.ask("When does the library open?")) == "At nine [1]."
        samples = await scraped(app)
    assert samples["libri_retries_total before_first_token"] == 1
    assert samples["libri_queue_wait_seconds_count"] == 1
    assert sorted(samples[f"libri_instance_state {id}"] for id in ("one", "two")) == [0, 2]
    assert samples["libri_pool_inflight one "] == 0


async def test_what_runs_is_told_per_instance_and_model(tmp_path: Path, models_dir: Path) -> None:
    release = asyncio.Event()
    engine = ScriptedEngine((Text("At "), Hold(release), *recite("nine [1].")), models=("m",))
    async with live_app(settings_in(tmp_path / "data", models_dir), scripted(engine, slots=3)) as app:
        await app.put(HOURS)
        asked = asyncio.ensure_future(app.ask("When does the library open?"))
        async with asyncio.timeout(10):
            while (await scraped(app)).get("libri_pool_inflight scripted-1 m") != 1:
                await asyncio.sleep(0.02)
        release.set()
        await asked
        samples = await scraped(app)
    assert samples["libri_pool_slots scripted-1"] == 3
    assert "libri_pool_inflight scripted-1 m" not in samples
    assert samples["libri_pool_shared"] == 1
