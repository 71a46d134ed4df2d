"""Passages of one small library, and an embedder that loads nothing."""

from __future__ import annotations

import hashlib
import itertools

import numpy as np

from backend.core.types import Language, Passage
from backend.corpus.base import CorpusRef

_numbers = itertools.count(1)

LIBRARY = CorpusRef("city", "library")


def passage(
    text: str = "Le prêt dure trois semaines.",
    *,
    id: str = "",
    revision: str = "r1",
    title: str = "",
    headings: tuple[str, ...] = (),
    language: Language = "fr",
    page: int | None = None,
    lead: str = "",
) -> Passage:
    """A passage with everything that a test does not care about filled in."""
    return Passage(
        id=id or f"p{next(_numbers)}",
        document="d-" + revision,
        revision=revision,
        name="rules.md",
        title=title,
        headings=headings,
        text=text,
        page=page,
        start=0,
        end=len(text),
        language=language,
        lead=lead,
    )


class HashEmbedder:
    """Bag of words by hashing, 64 dimensions: texts that share words are near."""

    id = "hash/1"
    dimensions = 64
    max_tokens = 10_000

    def __init__(self) -> None:
        self.down: Exception | None = None
        self.asked: list[list[str]] = []

    async def embed_queries(self, texts):
        self.asked.append(list(texts))
        if self.down is not None:
            raise self.down
        return np.stack([self.vector(text) for text in texts]) if texts else np.zeros((0, 64), np.float32)

    embed_passages = embed_queries

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def vector(self, text: str):
        row = np.full(64, 1e-3, np.float32)
        for word in text.lower().split():
            row[hashlib.sha256(word.strip(".,?!").encode()).digest()[0] % 64] += 1
        return (row / np.linalg.norm(row)).astype(np.float32)
