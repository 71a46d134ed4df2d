"""Who is let in before the model, and who goes first."""

import asyncio

import numpy as np
import pytest

from backend.core.errors import DeadlineExceeded, EmbedderUnavailable
from backend.embedding.desk import Desk, lane_of


class Embedder:
    """Holds texts until it is let."""

    def __init__(self):
        self.go = asyncio.Event()

    async def embed_queries(self, texts):
        await self.go.wait()
        return np.ones((len(texts), 2), np.float32)

    embed_passages = embed_queries

    async def embed_as_they_are(self, texts, *, urgent):
        return await self.embed_queries(texts)


@pytest.fixture
def embedder():
    return Embedder()


@pytest.fixture
def desk(embedder):
    return Desk(embedder, limit=10, within_s=5)


async def test_passages_leave_room_for_questions(desk, embedder):
    bulk = asyncio.ensure_future(desk.embed(["x"] * 10, "passage"))
    await asyncio.sleep(0)
    with pytest.raises(EmbedderUnavailable) as refused:
        await desk.embed(["x"], "passage")
    assert refused.value.retry_after_s
    question = asyncio.ensure_future(desk.embed(["x"], "query"))
    await asyncio.sleep(0)
    assert desk.waiting == {"query": 1, "passage": 10}
    embedder.go.set()
    assert len(await bulk) == 10
    assert len(await question) == 1
    assert desk.waiting == {"query": 0, "passage": 0}


async def test_who_is_cancelled_frees_the_place(desk):
    bulk = asyncio.ensure_future(desk.embed(["x"] * 10, "passage"))
    await asyncio.sleep(0)
    bulk.cancel()
    await asyncio.gather(bulk, return_exceptions=True)
    assert desk.waiting["passage"] == 0


async def test_nobody_stays_for_ever(embedder):
    desk = Desk(embedder, limit=10, within_s=0.01)
    with pytest.raises(DeadlineExceeded):
        await desk.embed(["x"], None)
    assert desk.waiting == {"query": 0, "passage": 0}


def test_who_does_not_say_is_judged_by_size():
    assert lane_of(["When does it open?"], None) == "query"
    assert lane_of(["x"] * 5, None) == "passage"
    assert lane_of(["x" * 2001], None) == "passage"
    assert lane_of(["x"] * 500, "query") == "query"
    assert lane_of(["x"], "passage") == "passage"
