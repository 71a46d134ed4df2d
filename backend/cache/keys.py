"""What makes two questions the same: the one place where an answer's key is formed."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import orjson

from backend.core.types import Language, Message, Sampling


@dataclass(frozen=True, slots=True)
class AnswerKey:
    """Everything an answer depends on, besides the documents themselves.

    Attributes:
        variant: `variant_id` of model, prompt and retrieval settings.
        versions: Corpus name and version, for every corpus searched, sorted by name.
        history: Earlier turns that the answer may use.
    """

    tenant: str
    variant: str
    versions: tuple[tuple[str, str], ...]
    language: Language
    question: str
    history: tuple[Message, ...]

    def digest(self) -> str:
        """Hex SHA-256; equal for questions that differ only in case, spacing or Unicode form."""
        turns = [[message.role, message.content] for message in self.history]
        parts = [self.tenant, self.variant, self.versions, self.language, normalised(self.question), turns]
        return sha256(orjson.dumps(parts)).hexdigest()


def variant_id(*, model: str, prompt_version: str, sampling: Sampling, settings: Sequence[object]) -> str:
    """Short id of one way of answering; any difference gives another id."""
    parts = [model, prompt_version, sampling.temperature, sampling.max_tokens, sampling.thinking, *settings]
    return sha256(orjson.dumps([str(part) for part in parts])).hexdigest()[:12]


def normalised(question: str) -> str:
    """Case, Unicode form and spacing folded; accents and punctuation kept, since they carry meaning."""
    return " ".join(unicodedata.normalize("NFKC", question).casefold().split())
