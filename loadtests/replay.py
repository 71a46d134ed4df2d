"""Hits that the real indexes gave once, replayed through the real retriever: many settings at little cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from backend.calibration.files import calibration_for
from backend.config import Embedding, Retrieval
from backend.corpus.base import CorpusRef, LiveView
from backend.embedding.base import Embedder, Vectors
from backend.embedding.models import find
from backend.retrieval.base import DenseIndex, Hit, LexicalIndex
from backend.retrieval.gate import Gate
from backend.retrieval.search import HybridRetriever
from loadtests import qa
from loadtests.qa import CORPUS, Question

NO_FOLDER = Path("no-such-folder")
"""The calibrations that are shipped, and no others."""
Hits = dict[str, list[Hit]]
Ranked = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class Recorded:
    """Hits of both indexes by the question's text."""

    dense: Hits = field(default_factory=dict)
    lexical: Hits = field(default_factory=dict)


class Everything:
    """A catalogue in which the one revision of the set is live."""

    async def live(self, corpus: CorpusRef) -> LiveView:
        return LiveView("v1", frozenset({qa.REVISION}))


class Replayed:
    """An index and an embedder at once: a question's vector is its number."""

    id, dimensions, max_tokens = "replayed", 1, 1

    def __init__(self, questions: Sequence[Question], hits: Hits) -> None:
        self._hits = hits
        self._texts = list(dict.fromkeys(question.text for question in questions))
        self._rows = {text: i for i, text in enumerate(self._texts)}

    async def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return np.array([[self._rows[text]] for text in texts], np.float32)

    def count_tokens(self, text: str) -> int:
        return 0

    async def covers(self, corpus: CorpusRef, view: LiveView) -> bool:
        return True

    async def search(self, corpus: CorpusRef, asked: str | Vectors, *rest: object) -> Sequence[Hit]:
        text = asked if isinstance(asked, str) else self._texts[int(asked[0])]
        return self._hits.get(text, [])


def retriever(
    embedder: Embedder | Replayed,
    dense: DenseIndex | Replayed,
    lexical: LexicalIndex | Replayed,
    settings: Retrieval,
    gate: Gate | None = None,
) -> HybridRetriever:
    """The product's retriever; with the gate of the default embedder, or that of another."""
    return HybridRetriever(
        embedder=embedder,  # type: ignore[arg-type]
        dense=dense,  # type: ignore[arg-type]
        lexical=lexical,  # type: ignore[arg-type]
        catalogue=Everything(),  # type: ignore[arg-type]
        gate=gate or calibration_for(find(Embedding().model, Embedding().precision).id, NO_FOLDER).gate,
        settings=settings,
    )


def replaying(questions: Sequence[Question], hits: Recorded, settings: Retrieval) -> HybridRetriever:
    """The product's retriever over recorded hits."""
    dense = Replayed(questions, hits.dense)
    return retriever(dense, dense, Replayed(questions, hits.lexical), settings)


async def rank_all(questions: Sequence[Question], made: HybridRetriever) -> Ranked:
    """Ids by rank for every question."""
    ranked: Ranked = {}
    for question in questions:
        found = await made.retrieve([CORPUS], question.text, question.language, budget_tokens=1_000_000)
        ranked[question.id] = [scored.passage.id for scored in found.passages]
    return ranked
