"""Ports of the two indexes and of retrieval as a whole."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from backend.core.types import Language, Passage, Scored
from backend.corpus.base import CorpusRef, LiveView
from backend.embedding.base import Vectors


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage found by one index; scores of different indexes do not compare.

    Attributes:
        covers: Share of the question's words that the passage holds, weighed by their rarity, in [0, 1];
            known for the first hits of a lexical index only.
        matched: The same words counted, each as a part of one that is as rare as can be; known likewise.
    """

    passage: Passage
    score: float
    covers: float = 0.0
    matched: float = 0.0


class Derived(Protocol):
    """What both indexes are besides: copies of the passages in SQL, which say how far they have come."""

    async def held(self, corpus: CorpusRef) -> str:
        """The corpus version that was last noted with `hold`; "" if none was, or the index was lost since.

        Raises:
            RetrievalUnavailable
        """

    async def hold(self, corpus: CorpusRef, version: str) -> None:
        """Note, for later starts too, that every live passage of `version` is here, among others or not.

        Raises:
            RetrievalUnavailable, StorageFull
        """

    async def covers(self, corpus: CorpusRef, view: LiveView) -> bool:
        """Whether every passage of the view's revisions is here, among others or not; asked for each search.

        Raises:
            RetrievalUnavailable
        """

    async def counts(self, corpus: CorpusRef, revisions: Collection[str]) -> Mapping[str, int]:
        """How many passages are here of each of these revisions; more may be told, those of none be left out.

        Raises:
            RetrievalUnavailable
        """

    async def keep_only(self, corpus: CorpusRef, revisions: Collection[str]) -> None:
        """Remove every passage of any other revision. Reads the whole index.

        Raises:
            RetrievalUnavailable, StorageFull
        """

    async def remove(self, corpus: CorpusRef, revisions: Sequence[str]) -> None:
        """Remove every passage of these revisions; unknown ones are no error."""

    async def count(self, corpus: CorpusRef) -> int:
        """Passages held."""


class DenseIndex(Derived, Protocol):
    """Nearest neighbours by cosine. One space per (corpus, embedder id): corpora cannot mix."""

    async def add(self, corpus: CorpusRef, passages: Sequence[Passage], vectors: Vectors) -> None:
        """Write passages with their vectors (float32[n, d], unit rows); an id again replaces.

        Durable on return.

        Raises:
            RetrievalUnavailable, StorageFull
        """

    async def vectors(self, corpus: CorpusRef, ids: Sequence[str]) -> Mapping[str, Vectors]:
        """Vectors (float32[d]) of those of these passages that are here, by id.

        Raises:
            RetrievalUnavailable
        """

    async def search(self, corpus: CorpusRef, vector: Vectors, limit: int) -> Sequence[Hit]:
        """The `limit` nearest passages to one unit vector (float32[d]), best first; score is the cosine.

        Raises:
            RetrievalUnavailable
        """


class LexicalIndex(Derived, Protocol):
    """BM25 over stemmed words, with stop words, per language."""

    async def add(self, corpus: CorpusRef, passages: Sequence[Passage]) -> None:
        """Write passages; the same passage id replaces. Durable and searchable on return.

        Raises:
            RetrievalUnavailable, StorageFull
        """

    async def search(self, corpus: CorpusRef, question: str, language: Language, limit: int) -> Sequence[Hit]:
        """The `limit` best passages for any text a person may type, best first.

        Raises:
            RetrievalUnavailable
        """

    async def passages(self, corpus: CorpusRef, revision: str) -> Sequence[Passage]:
        """Every passage of a revision that is here, in no order.

        Raises:
            RetrievalUnavailable
        """


@dataclass(frozen=True, slots=True)
class Retrieved:
    """What bears on a question.

    Attributes:
        passages: Best first, within the token budget; empty when nothing does (the no-answer gate closed).
        versions: Corpus name to the version that was searched.
        degraded: What did not answer: "dense", "lexical"; and "dense_being_made", where that is why.
    """

    passages: tuple[Scored, ...]
    versions: tuple[tuple[str, str], ...]
    degraded: tuple[str, ...] = ()


class Retriever(Protocol):
    """Search in one or several corpora of one tenant."""

    async def retrieve(
        self, corpora: Sequence[CorpusRef], question: str, language: Language, *, budget_tokens: int
    ) -> Retrieved:
        """The passages that bear on a standalone question; only those of live revisions.

        Raises:
            RetrievalUnavailable: No index answered.
        """
