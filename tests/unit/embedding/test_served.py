"""What is known of a service's model before the service is asked."""

from contextlib import AsyncExitStack

import pytest

from backend.config import Settings, load
from backend.core.clock import SystemClock
from backend.core.errors import EmbedderUnavailable, Misconfigured
from backend.embedding.models import find
from backend.embedding.served import of_another, of_our_own
from backend.wiring.embedder import open_embedder

NONE = ("", "")
NOBODY = "http://127.0.0.1:1"


async def opened(**section):
    async with AsyncExitStack() as stack:
        return await open_embedder(stack, Settings(embedding={"url": NOBODY, **section}), SystemClock())


@pytest.mark.parametrize(
    "name", ["all-MiniLM-L6-v2", "multilingual-e5-small", "intfloat/multilingual-e5-base"]
)
def test_a_model_of_our_own_service_is_the_same_as_here(name):
    here, there = find(name, "int8"), of_our_own(name, "int8", None, 512)
    assert (there.id, there.dimensions, there.max_tokens) == (here.id, here.dimensions, here.max_tokens)
    assert (there.query_prefix, there.passage_prefix) == NONE, "our service puts them itself"


def test_another_precision_kind_length_or_prefix_is_another_embedder():
    ids = [
        of_our_own("all-MiniLM-L6-v2", "int8", None, 512).id,
        of_our_own("all-MiniLM-L6-v2", "fp32", None, 512).id,
        of_another("tei", "all-MiniLM-L6-v2", None, 512, NONE).id,
        of_another("openai", "all-MiniLM-L6-v2", None, 512, NONE).id,
        of_another("openai", "all-MiniLM-L6-v2", 256, 512, NONE).id,
        of_another("openai", "all-MiniLM-L6-v2", None, 512, ("ask: ", "")).id,
        of_another("openai", "all-MiniLM-L6-v2", None, 512, ("", "ask: ")).id,
    ]
    assert len(set(ids)) == len(ids)


def test_prefixes_of_models_that_want_them_are_known():
    model = of_another("ollama", "nomic-embed-text:v1.5", None, 512, NONE)
    assert (model.query_prefix, model.passage_prefix) == ("search_query: ", "search_document: ")
    assert model.dimensions == 768


async def test_a_model_that_is_not_known_needs_its_length():
    with pytest.raises(Misconfigured, match="LIBRI_EMBEDDING__DIMENSIONS is needed"):
        await opened(kind="openai", model="acme-embed")
    with pytest.raises(Misconfigured, match="LIBRI_EMBEDDING__DIMENSIONS is needed"):
        await opened(model="library@0123456789ab/int8")
    made = await opened(kind="openai", model="acme-embed", dimensions=12, query_prefix="ask:")
    assert made.dimensions == 12
    assert made.id.endswith("/12/ask: |")


async def test_a_length_that_cannot_be_is_refused():
    with pytest.raises(Misconfigured, match="384"):
        await opened(dimensions=512)


@pytest.mark.parametrize("url", ["127.0.0.1:8001", "ftp://x", "http://x:0", "http://a b"])
def test_an_address_that_cannot_be_asked_stops_the_start(url, monkeypatch):
    monkeypatch.setenv("LIBRI_EMBEDDING__URL", url)
    with pytest.raises(Misconfigured, match="LIBRI_EMBEDDING__URL"):
        load()


def test_credentials_in_the_address_are_not_shown(monkeypatch):
    monkeypatch.setenv("LIBRI_EMBEDDING__URL", "http://me:geheim@embedder:8001/v1/")
    settings = load()
    assert settings.embedding.url == "http://me:geheim@embedder:8001"
    assert "geheim" not in settings.model_dump_json()


async def test_a_service_that_nobody_runs_is_told_at_once_and_named():
    async with AsyncExitStack() as stack:
        made = await open_embedder(stack, Settings(embedding={"url": NOBODY}), SystemClock())
        for _ in range(3):
            with pytest.raises(EmbedderUnavailable, match="embedding service does not answer"):
                await made.embed_queries(["x"])
        assert made.count_tokens("How long may I keep a book?") > 5
