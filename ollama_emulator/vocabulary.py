"""Token ids, for the `context` that `/api/generate` hands out and takes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Vocabulary:
    """Numbers tokens in the order in which they are first seen."""

    _ids: dict[str, int] = field(default_factory=dict)
    _tokens: list[str] = field(default_factory=list)

    def ids(self, tokens: Sequence[str]) -> list[int]:
        return [self._id(token) for token in tokens]

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """Their tokens; an id never handed out stands for itself."""
        return [self._tokens[i] if 0 <= i < len(self._tokens) else f"<{i}>" for i in ids]

    def _id(self, token: str) -> int:
        found = self._ids.setdefault(token, len(self._tokens))
        if found == len(self._tokens):
            self._tokens.append(token)
        return found
