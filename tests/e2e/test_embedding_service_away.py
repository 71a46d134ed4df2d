"""A replica that holds no model, and its embedding service: away, hung, back, or with another model."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from devstack.child import free_port, in_thread
from devstack.embedder import EmbeddingService, embedding_service
from tests.support.live_app import DEFAULT, GARDEN, HOURS, LOCAL_TENANT, LiveApp, live_app, settings_in

QUESTION = "When does the library open in the morning?"
BOUND_S = 0.5


@pytest.fixture(scope="module")
def service(models_dir: Path) -> Iterator[EmbeddingService]:
    with embedding_service() as running:
        yield running


@asynccontextmanager
async def replica(folder: Path, models_dir: Path, url: str, **more: Any) -> AsyncIterator[LiveApp]:
    embedding = {"url": url, "timeout_s": BOUND_S, **more}
    settings = settings_in(folder, models_dir, embedding=embedding, ingest={"retry_s": 0.1, "poll_s": 0.1})
    async with live_app(settings) as app:
        yield app


async def degraded(app: LiveApp, question: str = QUESTION) -> list[str]:
    answer = (await app.client.post("/api/v1/chat", json={"question": question})).json()
    assert "nine" in answer["answer"]
    return [one for one in answer["degraded"] if one != "model"]


async def readiness(app: LiveApp) -> tuple[int, list[str]]:
    answer = await app.client.get("/health/ready")
    return answer.status_code, answer.json()["broken"]


async def until_whole(app: LiveApp, *, within_s: float = 20.0) -> None:
    async with asyncio.timeout(within_s):
        while await degraded(app):
            await asyncio.sleep(0.05)


async def until_whole_again(app: LiveApp) -> None:
    """With questions that nobody asked before."""
    async with asyncio.timeout(10):
        number = 100
        while await degraded(app, f"{QUESTION} {number}"):
            number += 1
            await asyncio.sleep(0.05)


async def test_a_replica_starts_without_its_service_and_reads_once_it_is_there(
    tmp_path: Path, models_dir: Path
) -> None:
    port = free_port()
    async with replica(tmp_path, models_dir, f"http://127.0.0.1:{port}") as app:
        ingestion = app.services.ingestion
        begun = await ingestion.submit(DEFAULT, [HOURS])
        await asyncio.sleep(0.5)
        waiting = await ingestion.status(LOCAL_TENANT, begun.id)
        assert not waiting.ended
        assert await readiness(app) == (200, ["embedder"])
        async with in_thread(embedding_service(port=port)) as service:
            await _read(app, begun.id)
            await until_whole(app)
            await asyncio.sleep(1.1)  # as long as a look is remembered
            assert await readiness(app) == (200, [])
            service.child.kill()
            assert await degraded(app, "At what hour of the morning does the library open?") == ["dense"]
        async with in_thread(embedding_service(port=port)):
            await until_whole(app, within_s=5)


async def test_a_service_that_hangs_costs_one_bound_and_is_back_as_soon_as_it_goes_on(
    tmp_path: Path, models_dir: Path, service: EmbeddingService
) -> None:
    async with replica(tmp_path, models_dir, service.url) as app:
        await app.put(HOURS)
        assert await degraded(app) == []
        os.kill(service.pid, signal.SIGSTOP)
        try:
            took = []
            for number in range(6):
                began = time.monotonic()
                assert await degraded(app, f"{QUESTION} {number}") == ["dense"]
                took.append(time.monotonic() - began)
            assert max(took) < BOUND_S + 2
            assert min(took) < BOUND_S, "those who come later are told at once"
        finally:
            os.kill(service.pid, signal.SIGCONT)
        await until_whole_again(app)


async def test_vectors_of_another_model_are_not_used(
    tmp_path: Path, models_dir: Path, service: EmbeddingService
) -> None:
    async with replica(tmp_path, models_dir, service.url) as app:
        await app.put(HOURS, GARDEN)
    for other in ({"precision": "fp32"}, {"kind": "openai", "model": "nomic-embed-text"}):
        async with replica(tmp_path, models_dir, service.url, **other) as app:
            assert "dense" in await degraded(app)
            checks = (await app.client.get("/health/deep")).json()["checks"]
            assert "EMBEDDING_MODEL" in checks["embedder"]["detail"]
            assert (await readiness(app))[0] == 200
    async with replica(tmp_path, models_dir, service.url) as app:
        assert await degraded(app) == []


async def _read(app: LiveApp, ingestion: str) -> None:
    async with asyncio.timeout(60):
        while not (status := await app.services.ingestion.status(LOCAL_TENANT, ingestion)).ended:
            await asyncio.sleep(0.05)
    assert status.state == "done"
