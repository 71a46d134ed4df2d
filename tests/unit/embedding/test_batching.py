import asyncio
import threading

import numpy as np
import pytest

from backend.core.errors import EmbedderUnavailable
from backend.embedding.batching import BatchingEmbedder
from backend.embedding.cached import CachedEmbedder
from backend.embedding.models import Model
from tests.support.manual_clock import ManualClock

E5 = Model(
    id="tiny/fp32/query: |passage: ",
    source=None,
    repository="nobody/tiny",
    dimensions=2,
    max_tokens=8,
    query_prefix="query: ",
    passage_prefix="passage: ",
    pooling="mean",
    precision="fp32",
)


class Encoder:
    def __init__(self) -> None:
        self.seen: list[str] = []
        self.passages_go = threading.Event()
        self.passages_go.set()

    def encode(self, texts):
        if texts[0].startswith("passage"):
            assert self.passages_go.wait(5)
        self.seen += texts
        return np.array([[len(text), 1.0] for text in texts], np.float32)


def embedder(load, clock=None):
    return BatchingEmbedder(E5, load, clock=clock or ManualClock(), batch_size=2)


async def test_prefixes_are_put_and_order_is_kept():
    encoder = Encoder()
    made = embedder(lambda: encoder)
    rows = await made.embed_passages(["ccc", "a", "bb", "dddd"])
    assert [row[0] - len("passage: ") for row in rows] == [3, 1, 2, 4]
    await made.embed_queries(["q"])
    assert encoder.seen[-1] == "query: q"
    made.close()


async def test_texts_of_like_length_share_a_pass():
    encoder = Encoder()
    made = embedder(lambda: encoder)
    await made.embed_passages(["cccc", "a", "dddd", "b"])
    assert encoder.seen == [f"passage: {text}" for text in ("a", "b", "cccc", "dddd")]
    made.close()


async def test_a_question_does_not_wait_behind_an_ingest():
    encoder = Encoder()
    encoder.passages_go.clear()
    made = embedder(lambda: encoder)
    ingest = asyncio.ensure_future(made.embed_passages([str(i) for i in range(100)]))
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await made.embed_queries(["q"])
    assert encoder.seen == ["query: q"]
    encoder.passages_go.set()
    assert (await ingest).shape == (100, 2)
    made.close()


async def test_a_model_that_does_not_load_is_tried_again_later_and_not_at_once():
    clock, tries = ManualClock(), []

    def load():
        tries.append(clock.monotonic())
        if len(tries) == 1:
            raise EmbedderUnavailable("not here")
        return Encoder()

    made = embedder(load, clock)
    for _ in range(3):
        with pytest.raises(EmbedderUnavailable):
            await made.embed_queries(["q"])
    assert len(tries) == 1
    clock.advance(31)
    assert (await made.embed_queries(["q"])).shape == (1, 2)
    made.close()


async def test_tokens_are_never_underestimated_without_a_tokenizer():
    made = embedder(Encoder)
    assert made.count_tokens("trois mots simples") >= 3
    assert made.count_tokens("") == 0
    made.close()


async def test_a_question_asked_again_is_not_computed_again():
    encoder = Encoder()
    made = embedder(lambda: encoder)
    cached = CachedEmbedder(made, size=2)
    first = await cached.embed_queries(["a", "bb", "a"])
    first[:] = 0  # a caller that writes into its rows does not reach the cache
    again = await cached.embed_queries(["bb", "a"])
    assert [row[0] - len("query: ") for row in again] == [2, 1]
    assert len(encoder.seen) == 2
    await cached.embed_queries(["c", "d"])
    await cached.embed_queries(["a"])
    assert len(encoder.seen) == 5
    made.close()
