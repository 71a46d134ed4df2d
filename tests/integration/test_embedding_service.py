"""`libriassist serve-embeddings` as a process: what it answers, whom, and how it refuses."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from backend.embedding.local_onnx import OnnxRanker
from backend.embedding.models import find_ranker
from devstack.embedder import EmbeddingService, embedding_service
from tests.support import tiny_ranker

KEY = "a-key-of-this-test"
MODEL = "all-MiniLM-L6-v2"


@pytest.fixture(scope="module")
def service(models_dir, tmp_path_factory) -> Iterator[EmbeddingService]:
    ranker = tiny_ranker.build(tmp_path_factory.mktemp("models") / "tiny-ranker")
    settings = {
        "LIBRI_EMBEDDING__KEY": KEY,
        "LIBRI_EMBEDDING__QUEUE_LIMIT": "64",
        "LIBRI_EMBEDDING__RERANK_MODEL": str(ranker),
    }
    with embedding_service(settings) as running:
        yield running


@pytest.fixture(scope="module")
def client(service: EmbeddingService) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, headers={"Authorization": f"Bearer {KEY}"}, timeout=30) as one:
        yield one


def asked(client: httpx.Client, texts: object, **more: object) -> httpx.Response:
    return client.post("/v1/embeddings", json={"model": MODEL, "input": texts} | more)


def rows(response: httpx.Response) -> np.ndarray:
    return np.array([one["embedding"] for one in response.json()["data"]], np.float32)


def test_vectors_are_those_of_the_model_in_order(client: httpx.Client) -> None:
    answer = asked(client, ["a loan", "the weather", "a loan"])
    body = answer.json()
    assert (body["object"], body["model"]) == ("list", MODEL)
    assert [one["index"] for one in body["data"]] == [0, 1, 2]
    found = rows(answer)
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(3), abs=1e-5)
    assert found[0] == pytest.approx(found[2], abs=1e-6)
    assert found[0] @ found[1] < 0.9
    assert body["usage"] == {"prompt_tokens": 4 + 4 + 4, "total_tokens": 12}


def test_base64_holds_the_same_numbers(client: httpx.Client) -> None:
    plain = rows(asked(client, "un prêt"))[0]
    packed = asked(client, "un prêt", encoding_format="base64").json()["data"][0]["embedding"]
    assert np.frombuffer(base64.b64decode(packed), "<f4") == pytest.approx(plain, abs=1e-7)


@pytest.mark.parametrize("name", [MODEL, f"sentence-transformers/{MODEL}", f"{MODEL}/int8"])
def test_the_model_has_its_name_its_owners_and_its_id(client: httpx.Client, name: str) -> None:
    assert asked(client, "x", model=name).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"input": [1, 2, 3], "model": MODEL}, 400, "tokens"),
        ({"input": [[1, 2], [3]], "model": MODEL}, 400, "tokens"),
        ({"input": [], "model": MODEL}, 400, "not empty"),
        ({"input": None, "model": MODEL}, 400, "write a text"),
        ({"input": {"text": "x"}, "model": MODEL}, 400, "write a text"),
        ({"input": ["x", 7], "model": MODEL}, 400, "input.1"),
        ({"model": MODEL}, 400, "input"),
        ({"input": "x"}, 400, "model"),
        ({"input": "x", "model": "gpt-secret-name"}, 404, "/v1/models"),
        ({"input": "x", "model": f"{MODEL}/fp32"}, 404, "/v1/models"),
        ({"input": "x", "model": MODEL, "dimensions": 128}, 400, "384"),
        ({"input": "x", "model": MODEL, "encoding_format": "hex"}, 400, "encoding_format"),
        ({"input": "x", "model": MODEL, "input_type": "classification"}, 400, "search_query"),
        ({"input": "x", "model": MODEL, "invented": 1}, 400, "not permitted"),
        ({"input": ["x"] * 2049, "model": MODEL}, 400, "2048"),
        ({"input": "x\ud800", "model": MODEL}, 422, "surrogates"),
        ([1], 400, ""),
        ("x", 400, ""),
    ],
)
def test_what_does_not_fit_is_refused_in_openais_words(
    client: httpx.Client, body: object, status: int, said: str
) -> None:
    answer = client.post(
        "/v1/embeddings", content=json.dumps(body), headers={"content-type": "application/json"}
    )
    assert answer.status_code == status
    error = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert said in error["message"]
    assert len(answer.content) < 1000
    assert "secret" not in answer.text


def test_a_body_over_the_bound_is_not_read(client: httpx.Client) -> None:
    assert asked(client, ["x" * 3_000_000] * 2).status_code == 413


def test_who_has_no_key_gets_nothing_but_health(service: EmbeddingService) -> None:
    with httpx.Client(base_url=service.url) as stranger:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {KEY}"}):
            answer = stranger.post("/v1/embeddings", json={"input": "x", "model": MODEL}, headers=headers)
            assert (answer.status_code, answer.json()["error"]["type"]) == (401, "authentication_error")
            assert stranger.get("/v1/models", headers=headers).status_code == 401
            assert stranger.get("/metrics", headers=headers).status_code == 401
        assert stranger.get("/health").json() == {"status": "ok"}
        assert stranger.get("/health/ready").status_code == 200


def test_with_a_key_it_answers_to_any_name(client: httpx.Client) -> None:
    assert client.get("/v1/models", headers={"Host": "embedder:8001"}).status_code == 200


def test_more_than_the_bound_is_told_to_come_back(client: httpx.Client) -> None:
    answer = asked(client, ["x"] * 65)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert asked(client, ["x"] * 64).status_code == 200


def test_who_goes_away_frees_the_place(service: EmbeddingService, client: httpx.Client) -> None:
    body = json.dumps({"model": MODEL, "input": ["word " * 400] * 60}).encode()
    head = (
        f"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    for _ in range(3):  # two of them do not find room at once
        with socket.create_connection(("127.0.0.1", service.port)) as connection:
            connection.sendall(head.encode() + body)
            _until(lambda: _waiting(client, "passage") > 0)
        _until(lambda: not _waiting(client, "passage"))
    assert 'lane="passage",result="left"} 3.0' in client.get("/metrics").text


def test_a_question_overtakes_passages(client: httpx.Client, service: EmbeddingService) -> None:
    with (
        httpx.Client(base_url=service.url, headers=client.headers, timeout=60) as bulk,
        ThreadPoolExecutor(1) as threads,
    ):
        many = threads.submit(asked, bulk, ["word " * 400] * 60, input_type="passage")
        _until(lambda: _waiting(client, "passage") > 0)
        for kind in ({"input_type": "query"}, {}):
            assert asked(client, "When does it open?", **kind).status_code == 200
        assert not many.done()
        assert many.result().status_code == 200


@pytest.mark.parametrize("kind", tiny_ranker.SCORES)
def test_a_cross_encoder_scores_as_transformers_does(kind: str, tmp_path: Path) -> None:
    folder = tiny_ranker.build(tmp_path / "ranker", kind)
    scores = OnnxRanker(find_ranker(folder, "fp32"), tmp_path, threads=1).scores(tiny_ranker.PAIRS)
    assert scores[:, 0] == pytest.approx(tiny_ranker.SCORES[kind], abs=1e-4)


TEXTS = ["the library opens at nine", "a loan can be renewed twice", "three weeks", "opens opens opens"]
QUESTION = "when does the library open"


def ranked(client: httpx.Client, **body: object) -> httpx.Response:
    return client.post("/v1/rerank", json={"query": QUESTION} | body)


def test_passages_come_best_first_in_either_shape(client: httpx.Client) -> None:
    body = ranked(client, documents=TEXTS, model="tiny-ranker", return_documents=True).json()
    found = body["results"]
    scores = [one["relevance_score"] for one in found]
    assert scores == sorted(scores, reverse=True)
    assert 0 < scores[-1] < scores[0] < 1
    assert [one["document"]["text"] for one in found] == [TEXTS[one["index"]] for one in found]
    assert sorted(one["index"] for one in found) == [0, 1, 2, 3]
    objects = [{"text": text} for text in TEXTS]
    assert ranked(client, documents=objects, top_n=2).json()["results"] == [
        {name: one[name] for name in ("index", "relevance_score")} for one in found[:2]
    ]
    as_tei = client.post("/rerank", json={"query": QUESTION, "texts": TEXTS, "raw_scores": True}).json()
    assert [one["index"] for one in as_tei] == [one["index"] for one in found]
    assert [1 / (1 + np.exp(-one["score"])) for one in as_tei] == pytest.approx(scores)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"documents": []}, 400, "not empty"),
        ({"documents": ["x"], "texts": ["x"]}, 400, "either"),
        ({}, 400, "either"),
        ({"documents": ["x", {"title": "x"}]}, 400, "documents.1"),
        ({"documents": ["x"] * 1001}, 400, "1000"),
        ({"documents": ["x"], "top_n": -1}, 400, "top_n"),
        ({"documents": ["x"], "model": "another"}, 404, "leave"),
    ],
)
def test_what_cannot_be_ranked_is_refused(
    client: httpx.Client, body: dict[str, object], status: int, said: str
) -> None:
    answer = ranked(client, **body)
    assert answer.status_code == status
    assert said in answer.json()["error"]["message"]


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline


def _waiting(client: httpx.Client, lane: str) -> float:
    line = f'libri_embedding_waiting_texts{{lane="{lane}"}} '
    return float(client.get("/metrics").text.partition(line)[2].partition("\n")[0])
