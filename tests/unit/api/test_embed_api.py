"""An embedding service without a cross-encoder, and one that is asked from elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from backend.config import Settings
from backend.embed_api.app import create_app
from backend.embedding.desk import Desk
from backend.embedding.models import find
from backend.embedding.room import Room
from backend.telemetry.embedding import EmbeddingMetrics


@asynccontextmanager
async def empty_room(_: Settings) -> AsyncIterator[Room]:
    desk = Desk(None, limit=1, within_s=1)  # type: ignore[arg-type]  # nothing is embedded here
    yield Room(find("all-MiniLM-L6-v2", "int8"), desk, EmbeddingMetrics(), keys=())


@asynccontextmanager
async def asking(peer: str) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Settings(), empty_room)
    async with app.router.lifespan_context(app) as state:

        async def with_state(scope, receive, send) -> None:
            await app({**scope, "state": dict(state)}, receive, send)

        transport = httpx.ASGITransport(with_state, client=(peer, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            yield client


async def test_without_a_cross_encoder_the_setting_is_named() -> None:
    async with asking("127.0.0.1") as client:
        answer = await client.post("/v1/rerank", json={"query": "x", "documents": ["y"]})
    assert answer.status_code == 404
    assert "LIBRI_EMBEDDING__RERANK_MODEL" in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/v1/models", "/metrics"])
async def test_without_a_key_only_this_machine_is_served(path: str) -> None:
    async with asking("127.0.0.1") as near:
        assert (await near.get(path)).status_code == 200
        assert (await near.get(path, headers={"x-forwarded-for": "192.0.2.7"})).status_code == 401
        assert (await near.get(path, headers={"host": "rebound.example"})).status_code == 421
    async with asking("192.0.2.7") as far:
        assert (await far.get(path)).status_code == 401
        assert (await far.get("/health")).status_code == 200
