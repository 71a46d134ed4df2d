"""What is computed with an embedder besides a search."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from backend.embedding.base import Embedder, Vectors

_CHARS_PER_TOKEN: Final = 4


def prompt_tokens(embedder: Embedder, text: str) -> int:
    """Tokens for a model server, from above: the embedder counts a long run without blanks as one."""
    return max(embedder.count_tokens(text), len(text) // _CHARS_PER_TOKEN)


async def nearness(embedder: Embedder, question: str, sentences: Sequence[str]) -> Vectors:
    """Cosine of each sentence with the question, float32[n].

    Raises:
        EmbedderUnavailable
    """
    rows, asked = await asyncio.gather(embedder.embed_passages(sentences), embedder.embed_queries([question]))
    near: Vectors = rows @ asked[0]
    return near
