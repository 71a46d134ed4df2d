"""Answers of embedding services, whole and broken."""

import base64
from contextlib import suppress

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.errors import EmbedderUnavailable
from backend.embedding.dialects import DIALECTS, is_among, names_in, vectors_in

OPENAI, TEI, OLLAMA = DIALECTS["openai"], DIALECTS["tei"], DIALECTS["ollama"]


def b64(*numbers):
    return base64.b64encode(np.array(numbers, "<f4").tobytes()).decode()


def item(index, embedding):
    return {"index": index, "embedding": embedding}


@pytest.mark.parametrize(
    ("dialect", "answer"),
    [
        (OPENAI, {"data": [item(0, [3, 4]), item(1, [0, 2])]}),
        (OPENAI, {"data": [item(1, [0, 2]), item(0, [3, 4])]}),
        (OPENAI, {"data": [item(1, b64(0, 2)), item(0, b64(3, 4))]}),
        (OPENAI, {"data": [{"embedding": [3, 4]}, {"embedding": [0, 2]}]}),
        (TEI, [[3, 4], [0, 2]]),
        (OLLAMA, {"embeddings": [[3, 4], [0, 2]], "model": "x"}),
    ],
)
def test_rows_are_unit_and_in_the_order_of_the_texts(dialect, answer):
    rows = vectors_in(dialect, orjson.dumps(answer), 2, 2)
    assert rows.dtype == np.float32
    assert rows == pytest.approx(np.array([[0.6, 0.8], [0, 1]], np.float32))


@pytest.mark.parametrize(
    "answer",
    [
        {"data": [item(0, [3, 4])]},
        {"data": [item(0, [3, 4])] * 2},
        {"data": [item(0, [3, 4]), item(2, [3, 4])]},
        {"data": [item(0, [3, 4]), {"embedding": [3, 4]}]},
        {"data": [item("0", [3, 4]), item("1", [3, 4])]},
        {"data": [item(0, [3, 4]), item(1, [3, 4, 5])]},
        {"data": [item(0, [3, 4]), item(1, [0, 0])]},
        {"data": [item(0, [3, 4]), item(1, [None, 1])]},
        {"data": [item(0, [3, 4]), item(1, ["3", "x"])]},
        {"data": [item(0, [3, 4]), item(1, [[3, 4]])]},
        {"data": [item(0, [3, 4]), item(1, [])]},
        {"data": [item(0, [3, 4]), item(1, None)]},
        {"data": [item(0, [3, 4]), item(1, {"0": 1})]},
        {"data": [item(0, [3, 4]), item(1, b64(3, float("nan")))]},
        {"data": [item(0, [3, 4]), item(1, b64(float("inf"), 1))]},
        {"data": [item(0, [3, 4]), item(1, "AAAA")]},
        {"data": [item(0, [3, 4]), item(1, "%%")]},
        {"data": [item(0, [1e200, 1e200]), item(1, [3, 4])]},
        {"data": [None, None]},
        {"data": None},
        {"error": "no"},
        [],
        None,
        "x",
    ],
)
def test_an_answer_without_the_right_vectors_is_refused(answer):
    with pytest.raises(EmbedderUnavailable, match="answer"):
        vectors_in(OPENAI, orjson.dumps(answer), 2, 2)


@pytest.mark.parametrize(
    "data", [b"", b"<html>", b'{"data": [{"index": 0, "embedding": [1,', b"[NaN]", b"\xff"]
)
def test_what_is_no_json_is_refused(data):
    for dialect in DIALECTS.values():
        with pytest.raises(EmbedderUnavailable):
            vectors_in(dialect, data, 1, 2)
        assert names_in(dialect, data) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["data", "embedding", "embeddings", "index", "model_id", "id"]), inner, max_size=3
    ),
    max_leaves=12,
)  # fmt: skip


@given(JSON, st.sampled_from(list(DIALECTS.values())))
def test_any_answer_gives_unit_rows_or_a_refusal(answer, dialect):
    data = orjson.dumps(answer)
    names_in(dialect, data)
    with suppress(EmbedderUnavailable):
        rows = vectors_in(dialect, data, 1, 2)
        assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(1), abs=1e-5)


def test_a_model_is_found_under_its_owner_and_without_its_tag():
    assert is_among("bge-m3", ["BAAI/bge-m3"])
    assert is_among("sentence-transformers/all-MiniLM-L6-v2", ["all-MiniLM-L6-v2"])
    assert is_among("nomic-embed-text", ["llama3:8b", "nomic-embed-text:latest"])
    assert not is_among("bge-m3", ["bge-m3-unsupervised"])
