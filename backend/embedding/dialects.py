"""How each kind of embedding service is asked, and where in its answer the vectors are. Pure.

Sources: OpenAI's API reference (embeddings), Ollama's `docs/api.md`, the OpenAPI description of TEI.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson

from backend.core.errors import EmbedderUnavailable
from backend.embedding.base import Vectors
from backend.embedding.served import Served
from backend.embedding.wire import Purpose

Body = dict[str, Any]
_LEAST_LENGTH: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Dialect:
    """One kind of service.

    Attributes:
        body: What is asked.
        rows: The vectors of an answer, as they came; KeyError, TypeError or ValueError: there are none.
        listing: Where it says which models it has; "": it refuses a model that it has not.
        names: The models of that answer.
        probe_s: Longest wait for a sign of life; covers the load of the model where that is begun by asking.
        cuts: It cuts a text that is too long for its model.
    """

    path: str
    body: Callable[[Served, Sequence[str], Purpose], Body]
    rows: Callable[[Any], list[Any]]
    listing: str = ""
    names: Callable[[Any], list[str]] = lambda _: []
    probe_s: float = 5.0
    cuts: bool = True


def _openai_body(model: Served, texts: Sequence[str], _: Purpose) -> Body:
    return {"model": model.name, "input": list(texts), "encoding_format": "base64"}


def _our_body(model: Served, texts: Sequence[str], purpose: Purpose) -> Body:
    return _openai_body(model, texts, purpose) | {"input_type": purpose}


def _ollama_body(model: Served, texts: Sequence[str], _: Purpose) -> Body:
    return {"model": model.name, "input": list(texts), "truncate": True, "keep_alive": "30m"}


def _tei_body(_: Served, texts: Sequence[str], __: Purpose) -> Body:
    return {"inputs": list(texts), "truncate": True, "normalize": True}


def _openai_rows(answer: Any) -> list[Any]:
    """In the order of the texts: `index` says which is whose."""
    items = answer["data"]
    if not any("index" in item for item in items):
        return [item["embedding"] for item in items]
    rows = {item["index"]: item["embedding"] for item in items}
    if sorted(rows) != list(range(len(items))):
        raise ValueError("an index is missing, or there twice")
    return [rows[index] for index in range(len(items))]


def _listed(answer: Any) -> list[str]:
    return [item["id"] for item in answer["data"]]


OUR_OWN: Final = Dialect("/v1/embeddings", _our_body, _openai_rows)
DIALECTS: Final[Mapping[str, Dialect]] = {
    "libriassist": OUR_OWN,
    "openai": Dialect("/v1/embeddings", _openai_body, _openai_rows, "/v1/models", _listed, cuts=False),
    "tei": Dialect("/embed", _tei_body, list, "/info", lambda answer: [answer["model_id"]]),
    "ollama": Dialect("/api/embed", _ollama_body, lambda answer: list(answer["embeddings"]), probe_s=120.0),
}


def names_in(dialect: Dialect, data: bytes) -> list[str]:
    """The models that a listing names; none where it cannot be read."""
    try:
        return [name for name in dialect.names(orjson.loads(data)) if isinstance(name, str)]
    except (ValueError, KeyError, TypeError):
        return []


def is_among(name: str, listed: Sequence[str]) -> bool:
    """Whether a service has a model, whatever owner or path it writes before the name."""

    def bare(name: str) -> str:
        return name.rsplit("/", 1)[-1].removesuffix(":latest")

    return bare(name) in map(bare, listed)


def vectors_in(dialect: Dialect, data: bytes, texts: int, dimensions: int) -> Vectors:
    """Unit rows, float32[texts, dimensions], in the order of the texts.

    Raises:
        EmbedderUnavailable: The answer holds no such vectors; says why, for an operator.
    """
    try:
        rows = dialect.rows(orjson.loads(data))
        found = [_row(one) for one in rows]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as exc:
        raise _useless("holds no vectors that can be read") from exc
    if len(found) != texts:
        raise _useless(f"holds {len(found)} vectors for {texts} texts")
    if wrong := {len(row) for row in found} - {dimensions}:
        raise _useless(f"has vectors of length {min(wrong)}, and the model's are {dimensions} long")
    matrix = np.array(found, np.float64).reshape(texts, dimensions)
    with np.errstate(all="ignore"):
        lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or (lengths < _LEAST_LENGTH).any():
        raise _useless("holds a vector without a direction")
    unit: Vectors = (matrix / lengths).astype(np.float32)
    return unit


def _row(value: Any) -> np.ndarray[Any, Any]:
    if isinstance(value, str):
        return np.frombuffer(base64.b64decode(value, validate=True), "<f4")
    row = np.array(value, np.float64)
    if row.ndim != 1:
        raise ValueError("a vector for each token: pooling is off")
    return row


def _useless(why: str) -> EmbedderUnavailable:
    return EmbedderUnavailable(f"the embedding service's answer {why}")
