"""What Chroma is given and gives back, whether it runs in this process or is a server."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

import numpy as np

from backend.core.types import Passage
from backend.corpus.base import CorpusRef
from backend.embedding.base import Vectors
from backend.retrieval import payload
from backend.retrieval.base import Hit

# With Chroma's defaults, and passages written a hundred at a time, the graph loses whole regions: English
# questions among 4,465 mostly French passages found 0.957 of their ten true neighbours (some none), and
# recall@5 was 0.892 against 0.969 of exact search. With these 0.9995 and 0.969, and a search is no slower.
GRAPH: Final = {"hnsw": {"space": "cosine", "ef_search": 400, "ef_construction": 400, "max_neighbors": 48}}
HELD: Final = "held"
"""Where a collection's metadata keep the corpus version."""
AT_ONCE: Final = 5000
"""Chroma makes one SQL statement of what is asked, and SQLite takes 32,766 values in one."""
LOOKED_UP: Final = 200
FOUND: Final = ("documents", "metadatas", "distances")

_FULL = ("no space left", "disk is full", "disk full")
T = TypeVar("T")


def collection_name(corpus: CorpusRef, embedder_id: str) -> str:
    """One for each tenant, corpus and embedder."""
    parts = "\0".join((corpus.tenant, corpus.name, embedder_id))
    return "passages-" + hashlib.sha256(parts.encode()).hexdigest()[:40]


def rows(passages: Sequence[Passage]) -> dict[str, Any]:
    """What is written beside the vectors."""
    return {
        "ids": [one.id for one in passages],
        "documents": [one.text for one in passages],
        "metadatas": [payload.fields(one) for one in passages],
    }


def hits(found: Mapping[str, Any]) -> list[Hit]:
    """Of the answer to one vector."""
    columns = (found[name][0] for name in ("ids", *FOUND))
    return [
        Hit(payload.passage(id, text, stored), 1.0 - far)
        for id, text, stored, far in zip(*columns, strict=True)
    ]


def vectors(got: Mapping[str, Any]) -> dict[str, Vectors]:
    """The vector of each passage that came with it."""
    return {id: np.asarray(row, np.float32) for id, row in zip(got["ids"], got["embeddings"], strict=True)}


def revisions(got: Mapping[str, Any]) -> list[str]:
    """The revision of each passage that came with its metadata."""
    return [str(stored["revision"]) for stored in got["metadatas"]]


def among(revisions: Collection[str]) -> dict[str, Any]:
    """A filter for the passages of these."""
    return {"revision": {"$in": list(revisions)}}


def portions(all_of_it: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Parts of at most `size`."""
    for first in range(0, len(all_of_it), size):
        yield all_of_it[first : first + size]


def says_full(text: str) -> bool:
    """Whether an error means that the disk has no room."""
    return any(mark in text.lower() for mark in _FULL)
