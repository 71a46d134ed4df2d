import asyncio

import numpy as np
import pytest

from backend.core.clock import SystemClock
from backend.embedding.batching import BatchingEmbedder
from backend.embedding.cached import CachedEmbedder
from backend.embedding.local_onnx import OnnxEncoder
from backend.embedding.models import find
from tests.support.known_vectors import TEXTS, known_vectors

MODEL = find("all-MiniLM-L6-v2", "fp32")
SMALL = find("all-MiniLM-L6-v2", "int8")


@pytest.fixture(scope="module")
def encoders(models_dir):
    """Both precisions, loaded once."""
    return {
        "onnx": OnnxEncoder(MODEL, MODEL.folder, models_dir, threads=1),
        "int8": OnnxEncoder(SMALL, SMALL.folder, models_dir, threads=1),
    }


@pytest.fixture(params=["onnx", "int8", "cached int8"])
async def embedder(request, encoders):
    encoder = encoders[request.param.split()[-1]]
    made = BatchingEmbedder(SMALL if "int8" in request.param else MODEL, lambda: encoder, clock=SystemClock())
    yield CachedEmbedder(made, size=2) if request.param.startswith("cached") else made
    made.close()


async def test_rows_are_unit_float32_of_the_declared_length(embedder):
    for embed in (embedder.embed_queries, embedder.embed_passages):
        rows = await embed(["un prêt", "a loan", ""])
        assert rows.dtype == np.float32
        assert rows.shape == (3, embedder.dimensions)
        assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(3), abs=1e-5)


async def test_no_text_gives_no_row(embedder):
    assert (await embedder.embed_queries([])).shape == (0, embedder.dimensions)
    assert (await embedder.embed_passages([])).shape == (0, embedder.dimensions)


async def test_each_row_is_its_own_texts_whatever_stands_beside_it(embedder):
    texts = [f"text {'word ' * (i * 7 % 40)}{i}" for i in range(25)]
    together = await embedder.embed_passages(texts)
    alone = np.concatenate([await embedder.embed_passages([text]) for text in texts])
    assert together == pytest.approx(alone, abs=1e-4)


async def test_callers_at_once_get_their_own_rows(embedder):
    texts = [f"question {i}" for i in range(30)]
    rows = await asyncio.gather(*(embedder.embed_queries([text]) for text in texts))
    alone = await embedder.embed_passages(texts)  # this model has no prefixes
    assert np.concatenate(rows) == pytest.approx(alone, abs=1e-4)


async def test_like_meanings_are_nearer(embedder):
    loan, borrowing, weather = await embedder.embed_queries(
        ["How long can I borrow a book?", "How long is the loan of books?", "It will rain tomorrow."]
    )
    assert loan @ borrowing > loan @ weather + 0.1


async def test_a_text_over_the_limit_is_cut_there(embedder):
    long = "word " * (embedder.max_tokens * 2)
    rows = await embedder.embed_passages([long, long + "something else entirely"])
    assert rows[0] == pytest.approx(rows[1], abs=1e-4)


async def test_odd_text_is_text(embedder):
    assert (await embedder.embed_queries(["\x00\ud800 🤖\u202e", "[CLS] [MASK]"])).shape[0] == 2


async def test_tokens_are_counted_without_special_ones(embedder):
    assert embedder.count_tokens("") == 0
    assert embedder.count_tokens("loan") == 1
    assert embedder.count_tokens("loan " * 1000) == 1000


def test_vectors_are_those_of_sentence_transformers(encoders):
    assert encoders["onnx"].encode(TEXTS) == pytest.approx(known_vectors(), abs=1e-5)


def test_eight_bits_stay_near_them(encoders):
    assert (encoders["int8"].encode(TEXTS) * known_vectors()).sum(1).min() > 0.97


def test_the_onnx_file_is_made_once(encoders, models_dir):
    path = models_dir / MODEL.slug / "model.onnx"
    made = path.stat().st_mtime_ns
    OnnxEncoder(MODEL, MODEL.folder, models_dir, threads=1)
    assert path.stat().st_mtime_ns == made
    assert {file.name for file in path.parent.iterdir()} <= {"model.onnx", "lock"}
