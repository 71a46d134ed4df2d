"""What `/metrics` tells of a process that has worked."""

from __future__ import annotations

import asyncio
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from backend.engines.scripted import Hold, ScriptedEngine, recite
from tests.support.live_app import DEFAULT, HOURS, LiveApp, live_app, scripted, settings_in


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
