"""Request records, as a run makes them."""

from __future__ import annotations

from typing import Any

from backend.core.types import ANY_CORPUS, Message, Principal, Role, Sampling
from backend.core.variant import Variant
from backend.corpus.base import CorpusRef
from backend.generations.base import RequestRecord

READER = Principal("t", "s", frozenset({Role.READER}), frozenset({ANY_CORPUS}))


def a_variant(model: str = "m", *, max_tokens: int = 512, thinking: bool = False) -> Variant:
    """One way of answering."""
    return Variant(model, "sha256:1", "1", Sampling(0.0, max_tokens, thinking), "e5", 4096)


def a_record(question: str = "When is it open?", **changes: Any) -> RequestRecord:
    """A record of a question that stands alone."""
    fields: dict[str, Any] = {
        "run": "r1",
        "principal": READER,
        "corpora": (CorpusRef("t", "default"),),
        "question": question,
        "standalone": question,
        "language": "en",
        "history": (Message("user", "Hello?"), Message("assistant", "Yes.")),
        "variant": a_variant(),
        "began": 0.0,
        "deadline": 600.0,
    }
    return RequestRecord(**fields | changes)
