"""What our embedding service and its client agree on, beyond the protocol of OpenAI."""

from __future__ import annotations

import hashlib
from typing import Final, Literal

Purpose = Literal["query", "passage"]
"""What a text is embedded for: decides its prefix, and who waits for whom."""

EMBEDDER_HEADER: Final = "libri-embedder"
"""Of every answer: `fingerprint` of the embedder that made the vectors."""


def fingerprint(embedder: str) -> str:
    """An embedder's id, in few characters that any header may hold."""
    return hashlib.sha256(embedder.encode()).hexdigest()[:16]
