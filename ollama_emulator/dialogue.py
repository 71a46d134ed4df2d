"""From the messages of a request to the tokens of its prompt, cut to the context as the real server cuts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from ollama_emulator.tokens import LONGEST_WORD, message_tokens, tokenise

NO_ROOM = (
    "the prompt is longer than the context length currently available to the model; shorten the prompt, "
    "adjust the context length in settings, or use a model with a longer context length"
)


class TooLong(ValueError):
    """The prompt does not fit, and must or can not be cut; the text is the server's (status 400)."""


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat prompt."""

    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Any] = ()
    num_keep: int = 4
    letters: int = LONGEST_WORD

    def fit(self, num_ctx: int, *, truncate: bool, shift: bool = True) -> list[str]:
        """The prompt's tokens: oldest messages go first, never the system's nor the last; then the middle.

        Raises:
            TooLong: If nothing may be cut, or too little.
        """
        parts = [
            message_tokens(m, is_open=self._is_prefill(i), letters=self.letters)
            for i, m in enumerate(self.messages)
        ]
        head = tokenise(orjson.dumps(list(self.tools)).decode(), self.letters) if self.tools else []
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
        return _cut_to_fit(tokens, num_ctx, self.num_keep, shift=shift)

    def _is_prefill(self, index: int) -> bool:
        return index == len(self.messages) - 1 and self.messages[index].get("role") == "assistant"


@dataclass(frozen=True, slots=True)
class Text:
    """The prompt of `/api/generate`, already rendered."""

    tokens: list[str] = field(default_factory=list)
    num_keep: int = 4

    def fit(self, num_ctx: int, *, truncate: bool, shift: bool = True) -> list[str]:
        """The tokens, their middle left out if need be.

        Raises:
            TooLong: If nothing may be cut.
        """
        if len(self.tokens) > num_ctx and not truncate:
            raise too_long(len(self.tokens), num_ctx)
        return _cut_to_fit(self.tokens, num_ctx, self.num_keep, shift=shift)


def _cut_to_fit(tokens: list[str], num_ctx: int, num_keep: int, *, shift: bool) -> list[str]:
    """In silence, unless the context may not shift: then the server says so in words of its own."""
    if len(tokens) <= num_ctx:
        return tokens
    if not shift:
        raise TooLong(NO_ROOM)
    return cut(tokens, num_ctx, num_keep)


def cut(tokens: list[str], num_ctx: int, num_keep: int) -> list[str]:
    """The first `num_keep` tokens and the end: half of what is left of the context stays free."""
    kept = max(0, min(num_keep, num_ctx - 1))
    total = num_ctx - (num_ctx - kept) // 2
    return tokens[:kept] + tokens[len(tokens) - (total - kept) :]


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
