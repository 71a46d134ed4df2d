import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

import numpy as np
import pytest

from backend.config import Settings
from backend.core.clock import SystemClock
from backend.embedding.batching import BatchingEmbedder
from backend.embedding.cached import CachedEmbedder
from backend.embedding.local_onnx import OnnxEncoder
from backend.embedding.models import find
from backend.wiring.embedder import open_embedder
from devstack.embedder import embedding_service
from devstack.llamacpp import llama_server
from tests.support import tiny_model
from tests.support.emulator import emulator
from tests.support.known_vectors import TEXTS, known_vectors

MODEL = find("all-MiniLM-L6-v2", "fp32")
SMALL = find("all-MiniLM-L6-v2", "int8")


@pytest.fixture(scope="module")
def encoders(models_dir):
    """Both precisions, loaded once."""
    return {
        "onnx": OnnxEncoder(MODEL, MODEL.source, models_dir, threads=1),
        "int8": OnnxEncoder(SMALL, SMALL.source, models_dir, threads=1),
    }


@pytest.fixture(scope="module")
def service(models_dir):
    """Our own, as a process."""
    with embedding_service() as running:
        yield running


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    """A real llama.cpp, whose model knows the last byte of a text."""
    file = tiny_model.build(tmp_path_factory.mktemp("llama") / "tiny.gguf")
    with llama_server(file, embeds=True, slot_tokens=512) as running:
        yield running


@asynccontextmanager
async def remote(**section):
    async with AsyncExitStack() as stack:
        settings = Settings(embedding={"timeout_s": 20, **section})
        yield await open_embedder(stack, settings, SystemClock())


@asynccontextmanager
async def local(encoders, kind):
    encoder = encoders[kind.split()[-1]]
    made = BatchingEmbedder(SMALL if "int8" in kind else MODEL, lambda: encoder, clock=SystemClock())
    yield CachedEmbedder(made, size=2) if kind.startswith("cached") else made
    made.close()


@asynccontextmanager
async def another(request, kind):
    """A service of another maker."""
    if kind == "ollama":
        async with (
            emulator(time_scale=0) as ollama,
            remote(url=ollama.url, kind="ollama", model="nomic-embed-text") as made,
        ):
            yield made
    else:
        url = request.getfixturevalue("llama").url
        async with remote(url=url, kind="openai", model="tiny.gguf", dimensions=128) as made:
            yield made


LOCAL = ["onnx", "int8", "cached int8"]


@pytest.fixture(params=[*LOCAL, "remote"])
async def embedder(request, encoders):
    """Those with a real model."""
    if request.param == "remote":
        async with remote(url=request.getfixturevalue("service").url) as made:
            yield made
    else:
        async with local(encoders, request.param) as made:
            yield made


@pytest.fixture(params=[*LOCAL, "remote", "llama.cpp", "ollama"])
async def any_embedder(request, encoders):
    if request.param in LOCAL:
        made = local(encoders, request.param)
    elif request.param == "remote":
        made = remote(url=request.getfixturevalue("service").url)
    else:
        made = another(request, request.param)
    async with made as embedder:
        yield embedder


async def test_rows_are_unit_float32_of_the_declared_length(any_embedder):
    for embed in (any_embedder.embed_queries, any_embedder.embed_passages):
        rows = await embed(["un prêt", "a loan", ""])
        assert rows.dtype == np.float32
        assert rows.shape == (3, any_embedder.dimensions)
        assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(3), abs=1e-5)


async def test_no_text_gives_no_row(any_embedder):
    assert (await any_embedder.embed_queries([])).shape == (0, any_embedder.dimensions)
    assert (await any_embedder.embed_passages([])).shape == (0, any_embedder.dimensions)


async def test_each_row_is_its_own_texts_whatever_stands_beside_it(any_embedder):
    texts = [f"text {'word ' * (i * 7 % 40)}{i}" for i in range(25)]
    together = await any_embedder.embed_passages(texts)
    alone = np.concatenate([await any_embedder.embed_passages([text]) for text in texts])
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


async def test_odd_text_is_text(any_embedder):
    assert (await any_embedder.embed_queries(["\x00\ud800 🤖\u202e", "[CLS] [MASK]"])).shape[0] == 2


async def test_tokens_are_counted_without_special_ones(any_embedder):
    assert any_embedder.count_tokens("") == 0
    assert any_embedder.count_tokens("loan") == 1
    assert any_embedder.count_tokens("loan " * 1000) == 1000


def test_vectors_are_those_of_sentence_transformers(encoders):
    assert encoders["onnx"].encode(TEXTS) == pytest.approx(known_vectors(), abs=1e-5)


def test_eight_bits_stay_near_them(encoders):
    assert (encoders["int8"].encode(TEXTS) * known_vectors()).sum(1).min() > 0.97


def test_the_onnx_file_is_made_once(encoders, models_dir):
    path = models_dir / MODEL.slug / "model.onnx"
    made = path.stat().st_mtime_ns
    OnnxEncoder(MODEL, MODEL.source, models_dir, threads=1)
    assert path.stat().st_mtime_ns == made
    assert {file.name for file in path.parent.iterdir()} <= {"model.onnx", "lock"}


async def test_a_service_of_ours_gives_the_vectors_of_the_same_model_under_the_same_id(encoders, service):
    async with remote(url=service.url) as far, local(encoders, "int8") as near:
        assert (far.id, far.dimensions, far.max_tokens) == (near.id, near.dimensions, near.max_tokens)
        for embed in ("embed_queries", "embed_passages"):
            rows = await getattr(far, embed)(TEXTS)
            assert rows == pytest.approx(await getattr(near, embed)(TEXTS), abs=1e-6)
