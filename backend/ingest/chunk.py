"""Cut a document at its structure into passages of the embedder's size."""

from __future__ import annotations

from collections.abc import Callable

from backend.ingest.base import Chunk, Parsed


def chunk(
    parsed: Parsed,
    *,
    count_tokens: Callable[[str], int],
    target_tokens: int,
    overlap_tokens: int,
    max_tokens: int,
) -> list[Chunk]:
    """Pieces of `parsed.text` in order."""
    raise NotImplementedError
