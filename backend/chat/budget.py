"""How many tokens each part of a prompt may take."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from backend.core.types import Message

CountTokens = Callable[[str], int]
MESSAGE_TOKENS = 8
"""What a chat template adds around one message, at most."""


def fitting_history(
    history: Sequence[Message], budget_tokens: int, count: CountTokens
) -> tuple[Message, ...]:
    """The newest turns that fit, whole, oldest dropped first; never begins with an answer."""
    kept: list[Message] = []
    left = budget_tokens
    for message in reversed(history):
        left -= count(message.content) + MESSAGE_TOKENS
        if left < 0:
            break
        kept.insert(0, message)
    while kept and kept[0].role == "assistant":
        kept.pop(0)
    return tuple(kept)
