"""A background loop of the running application that raises is begun again, and operators see it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from backend.ingest.sql import SqlJobs
from tests.support.live_app import HOURS, LiveApp, live_app, settings_in


async def ready(app: LiveApp) -> dict[str, Any]:
    answer = await app.client.get("/health/ready")
    assert answer.status_code == 200
    return dict(answer.json())


async def until(app: LiveApp, status: str) -> None:
    async with asyncio.timeout(60):
        while (await ready(app))["status"] != status:
            await asyncio.sleep(0.1)


async def test_documents_are_read_after_the_ingest_worker_raised_twice(
    tmp_path: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    due, asked = SqlJobs.due, []

    async def broken(self: SqlJobs) -> Any:
        asked.append(1)
        if len(asked) <= 2:
            raise RuntimeError("a fault of ours")
        return await due(self)

    monkeypatch.setattr(SqlJobs, "due", broken)
    async with live_app(settings_in(tmp_path, models_dir, engine={"backend": "extractive"})) as app:
        await until(app, "degraded")
        assert (await ready(app))["broken"] == ["background"]
        await app.put(HOURS)
        metrics = (await app.client.get("/metrics")).text
        assert 'libri_loop_failures_total{loop="ingest worker"} 2.0' in metrics
        await until(app, "ok")
