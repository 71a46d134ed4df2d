"""What makes two questions the same: the one place where an answer's key is formed."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from hashlib import sha256

import orjson

from backend.core.types import Language, Message
from backend.core.variant import Variant


@dataclass(frozen=True, slots=True)
class AnswerKey:
    """Everything an answer depends on.

    Attributes:
        versions: Corpus name and version, for every corpus searched, sorted by name.
        history: Earlier turns that the answer may use.
    """

    tenant: str
    variant: Variant
    versions: tuple[tuple[str, str], ...]
    language: Language
    question: str
    history: tuple[Message, ...]

    def digest(self) -> str:
        """Hex SHA-256, whatever the documents say by now: what an answer is kept under.

        Equal for questions that differ only in case, spacing or Unicode form.
        """
        return self._digest("kept", [name for name, _ in self.versions])

    def flight_digest(self) -> str:
        """The same for these versions of the documents only: whose answers are one while they are made."""
        return self._digest("flight", [list(version) for version in self.versions])

    def _digest(self, use: str, corpora: list[str] | list[list[str]]) -> str:
        turns = [[message.role, message.content] for message in self.history]
        question = normalised(self.question)
        parts = [use, self.tenant, self.variant.id, corpora, self.language, question, turns]
        return sha256(orjson.dumps(parts)).hexdigest()


def normalised(question: str) -> str:
    """Case, Unicode form and spacing folded; accents and punctuation kept, since they carry meaning."""
    return " ".join(unicodedata.normalize("NFKC", question).casefold().split())
