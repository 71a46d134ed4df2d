"""One way of answering: whatever differs here may answer differently."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

import orjson

from backend.core.types import Sampling


@dataclass(frozen=True, slots=True)
class Variant:
    """What an answer depends on besides the question and the documents.

    Attributes:
        model: As it is asked for in the pool.
        digest: Of the model's weights: all that servers tell, joined by commas; "" where none does.
        prompt: Version of the prompt's texts.
        sampling: As the reader asked, within the bounds.
        retrieval: Stands for the embedder and every setting of the search.
        context_tokens: The context that instances are asked to give; None: theirs.
    """

    model: str
    digest: str
    prompt: str
    sampling: Sampling
    retrieval: str
    context_tokens: int | None

    @property
    def id(self) -> str:
        """Twelve hex digits; a difference in any field, of `sampling` too, gives another id."""
        return sha256(orjson.dumps(self)).hexdigest()[:12]
