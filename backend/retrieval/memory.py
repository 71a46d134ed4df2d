"""The dense index in memory: exact, for tests and for measuring what approximate ones lose.

The lexical index in memory is `TantivyIndex(None)`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from backend.core.types import Passage
from backend.corpus.base import CorpusRef, LiveView
from backend.embedding.base import Vectors
from backend.retrieval.base import Hit

Rows = dict[str, tuple[Passage, Vectors]]


class MemoryDenseIndex:
    """Every vector is compared with every question."""

    def __init__(self) -> None:
        self._rows: dict[CorpusRef, Rows] = {}
        self._held: dict[CorpusRef, str] = {}

    async def add(self, corpus: CorpusRef, passages: Sequence[Passage], vectors: Vectors) -> None:
        """See `DenseIndex`."""
        rows = self._rows.setdefault(corpus, {})
        rows.update((p.id, (p, v)) for p, v in zip(passages, vectors, strict=True))

    async def remove(self, corpus: CorpusRef, revisions: Sequence[str]) -> None:
        """See `DenseIndex`."""
        gone = frozenset(revisions)
        kept = {id: row for id, row in self._rows.get(corpus, {}).items() if row[0].revision not in gone}
        self._rows[corpus] = kept

    async def vectors(self, corpus: CorpusRef, ids: Sequence[str]) -> Mapping[str, Vectors]:
        """See `DenseIndex`."""
        rows = self._rows.get(corpus, {})
        return {id: rows[id][1] for id in ids if id in rows}

    async def search(self, corpus: CorpusRef, vector: Vectors, limit: int) -> Sequence[Hit]:
        """See `DenseIndex`."""
        rows = list(self._rows.get(corpus, {}).values())
        if not rows:
            return ()
        cosines = np.stack([row[1] for row in rows]) @ vector
        best = np.argsort(-cosines, kind="stable")[: max(limit, 0)]
        return [Hit(rows[i][0], float(cosines[i])) for i in best]

    async def count(self, corpus: CorpusRef) -> int:
        """See `Derived`."""
        return len(self._rows.get(corpus, {}))

    async def held(self, corpus: CorpusRef) -> str:
        """See `Derived`."""
        return self._held.get(corpus, "")

    async def hold(self, corpus: CorpusRef, version: str) -> None:
        """See `Derived`."""
        self._held[corpus] = version

    async def covers(self, corpus: CorpusRef, view: LiveView) -> bool:
        """See `Derived`."""
        here = {passage.revision for passage, _ in self._rows.get(corpus, {}).values()}
        return view.revisions <= here

    async def counts(self, corpus: CorpusRef, revisions: Collection[str]) -> Mapping[str, int]:
        """See `Derived`."""
        return Counter(passage.revision for passage, _ in self._rows.get(corpus, {}).values())

    async def keep_only(self, corpus: CorpusRef, revisions: Collection[str]) -> None:
        """See `Derived`."""
        rows = self._rows.get(corpus, {})
        self._rows[corpus] = {id: row for id, row in rows.items() if row[0].revision in revisions}

    def close(self) -> None:
        """Nothing to release."""
