"""The public question set as the product sees it: passages of one corpus, and what answers each question."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from backend.core.clock import SystemClock
from backend.core.types import Language, Passage
from backend.corpus.base import CorpusRef
from backend.embedding.base import Embedder, Encoder, Vectors
from backend.embedding.batching import BatchingEmbedder
from backend.embedding.fetch import from_hub
from backend.embedding.local_onnx import OnnxEncoder
from backend.embedding.models import Precision, find, local_source
from loadtests.bench import data_file, read_jsonl

CORPUS = CorpusRef("bench", "qa")
REVISION = "r1"


@dataclass(frozen=True, slots=True)
class Question:
    """A question and the ids of the passages any one of which answers it."""

    id: str
    text: str
    language: Language
    kind: str
    relevant: frozenset[str]


@dataclass(frozen=True, slots=True)
class QA:
    """Passages and questions."""

    passages: list[Passage]
    questions: list[Question]


def load(args: argparse.Namespace) -> QA:
    """The set in `--data`."""
    passages = [_passage(row) for row in read_jsonl(data_file(args, "qa_passages.jsonl"))]
    rows = read_jsonl(data_file(args, "qa_questions.jsonl"))
    questions = [
        Question(row["id"], row["question"], row["lang"], row["kind"], frozenset(row["relevant"]))
        for row in rows
    ]
    return QA(passages, questions)


def _passage(row: dict[str, Any]) -> Passage:
    return Passage(
        id=row["id"],
        document=_document(row),
        revision=REVISION,
        name=row["source"],
        title=row["title"] or "",
        headings=(),
        text=row["text"],
        page=None,
        start=0,
        end=len(row["text"]),
        language=row["lang"],
    )


def _document(row: dict[str, Any]) -> str:
    """A sheet of service-public.fr is one document of many passages; elsewhere each passage is one."""
    name = str(row["id"])
    return name.rsplit("-", 1)[0] if row["source"] == "service_public" else name


def embedder(
    models_dir: Path, *, name: str, runtime: str, precision: Precision, threads: int, batch_size: int = 8
) -> BatchingEmbedder:
    """An embedder put together as the product does it."""
    model = find(name, precision)

    def open_model() -> Encoder:
        source = local_source(model, from_hub)
        if runtime == "torch":  # of the extra `torch`
            encoder: Encoder = import_module("backend.embedding.local_torch").TorchEncoder(
                model, source, threads=threads
            )
            return encoder
        return OnnxEncoder(model, source, models_dir, threads=threads)

    return BatchingEmbedder(model, open_model, clock=SystemClock(), batch_size=batch_size)


def _kept(path: Path) -> Vectors:
    kept: Vectors = np.load(path)
    return kept


async def passage_vectors(
    embedder: Embedder, texts: Sequence[str], cache: Path | None, key: str = ""
) -> Vectors:
    """Vectors of passages; kept in `cache` under the embedder's id and the texts themselves."""
    if cache is None:
        return await embedder.embed_passages(texts)
    digest = hashlib.sha256("\0".join((embedder.id, "passages", *texts)).encode()).hexdigest()[:24]
    path = cache / f"{digest}.npy"
    if path.is_file():
        return _kept(path)
    vectors = await embedder.embed_passages(texts)
    cache.mkdir(parents=True, exist_ok=True)
    np.save(path, vectors)
    return vectors


async def query_vectors(
    embedder: Embedder, texts: Sequence[str], cache: Path | None, key: str = ""
) -> Vectors:
    """Vectors of questions, kept likewise."""
    if cache is None:
        return await embedder.embed_queries(texts)
    digest = hashlib.sha256("\0".join((embedder.id, "queries", *texts)).encode()).hexdigest()[:24]
    path = cache / f"{digest}.npy"
    if path.is_file():
        return _kept(path)
    vectors = await embedder.embed_queries(texts)
    cache.mkdir(parents=True, exist_ok=True)
    np.save(path, vectors)
    return vectors
