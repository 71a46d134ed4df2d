"""From the messages of a request to the tokens of its prompt, cut to the context as the real server cuts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from loadtests.emulator.tokens import TOKEN_CHARS, message_tokens, tokenise


class TooLong(ValueError):
    """The prompt does not fit, and must or can not be cut; the text is the server's (status 400)."""


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat prompt.

    Args:
        native: llama-server gets the messages; otherwise a rendered text, which can be cut anywhere.
        token_chars: As in `Model`.
    """

    messages: Sequence[Mapping[str, Any]]
    native: bool
    tools: Sequence[Any] = ()
    num_keep: int = 4
    token_chars: int = TOKEN_CHARS

    def fit(self, num_ctx: int, *, truncate: bool) -> list[str]:
        """The prompt's tokens: oldest messages dropped first, never the system's nor the last.

        Raises:
            TooLong: Even so, or if nothing may be cut.
        """
        parts = [
            message_tokens(m, is_open=self._is_prefill(i), chars=self.token_chars)
            for i, m in enumerate(self.messages)
        ]
        head = tokenise(orjson.dumps(list(self.tools)).decode()) if self.tools else []
        total = len(head) + sum(map(len, parts))
        if total > num_ctx and not truncate:
            raise too_long(total, num_ctx)
        droppable = [i for i, m in enumerate(self.messages[:-1]) if m.get("role") != "system"]
        for index in droppable:
            if total <= num_ctx:
                break
            total -= len(parts[index])
            parts[index] = []
        tokens = head + [token for part in parts for token in part]
        if total > num_ctx:
            if self.native:
                raise too_long(total, num_ctx)
            return cut(tokens, num_ctx, self.num_keep)
        return tokens

    def _is_prefill(self, index: int) -> bool:
        return index == len(self.messages) - 1 and self.messages[index].get("role") == "assistant"


@dataclass(frozen=True, slots=True)
class Text:
    """The prompt of `/api/generate`, already rendered."""

    tokens: list[str] = field(default_factory=list)
    num_keep: int = 4

    def fit(self, num_ctx: int, *, truncate: bool) -> list[str]:
        """The tokens, their middle left out if need be.

        Raises:
            TooLong: If nothing may be cut.
        """
        if len(self.tokens) <= num_ctx:
            return self.tokens
        if not truncate:
            raise too_long(len(self.tokens), num_ctx)
        return cut(self.tokens, num_ctx, self.num_keep)


def cut(tokens: list[str], num_ctx: int, num_keep: int) -> list[str]:
    """The first `num_keep` tokens and the end: half of what is left of the context stays free."""
    total = num_ctx - (num_ctx - num_keep) // 2
    return tokens[:num_keep] + tokens[len(tokens) - (total - num_keep) :]


def too_long(tokens: int, num_ctx: int) -> TooLong:
    """llama-server's own error object, which Ollama passes on as a string."""
    error = {
        "code": 400,
        "message": f"request ({tokens} tokens) exceeds the available context size ({num_ctx} tokens), "
        "try increasing it",
        "type": "exceed_context_size_error",
        "n_prompt_tokens": tokens,
        "n_ctx": num_ctx,
    }
    return TooLong(orjson.dumps({"error": error}).decode())
