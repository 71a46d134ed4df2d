"""What is computed with an embedder besides a search."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from backend.core.aio import first_of_group
from backend.core.errors import EmbedderUnavailable
from backend.embedding.base import Embedder, Vectors

_CHARS_PER_TOKEN: Final = 4


def prompt_tokens(embedder: Embedder, text: str) -> int:
    """Tokens for a model server, from above: the embedder counts a long run without blanks as one."""
    return max(embedder.count_tokens(text), len(text) // _CHARS_PER_TOKEN)


async def nearness(
    embedder: Embedder, question: str, sentences: Sequence[str], *, within_s: float | None = None
) -> Vectors:
    """Cosine of each sentence with the question, float32[n].

    Raises:
        EmbedderUnavailable: Also when it takes longer than `within_s`.
    """
    try:
        async with asyncio.timeout(within_s):
            with first_of_group():
                async with asyncio.TaskGroup() as group:
                    rows = group.create_task(embedder.embed_passages(sentences))
                    asked = group.create_task(embedder.embed_queries([question]))
    except TimeoutError as exc:
        raise EmbedderUnavailable("the sentences were not compared in time") from exc
    near: Vectors = rows.result() @ asked.result()[0]
    return near
