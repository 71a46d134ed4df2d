"""The indexes of the embedded shape: files in the data folder, which one process may have open."""

from __future__ import annotations

from contextlib import AsyncExitStack

from backend.config import Settings
from backend.embedding.base import Embedder
from backend.retrieval.base import DenseIndex, LexicalIndex
from backend.retrieval.chroma import ChromaIndex
from backend.retrieval.lexical_tantivy import TantivyIndex


def open_indexes(
    stack: AsyncExitStack, settings: Settings, embedder: Embedder
) -> tuple[DenseIndex, LexicalIndex]:
    """Both indexes, closed with `stack`."""
    dense = ChromaIndex(settings.data.dir / "chroma", embedder.id)
    stack.callback(dense.close)
    lexical = TantivyIndex(settings.data.dir / "lexical", title_boost=settings.retrieval.title_boost)
    stack.callback(lexical.close)
    return dense, lexical
