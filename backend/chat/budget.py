"""How many tokens each part of a prompt may take, and how many of a model's they are."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from backend.core.types import Message

CountTokens = Callable[[str], int]
MESSAGE_TOKENS = 8
"""What a chat template adds around one message, at most."""
_LEAST_RATIO, _MOST_RATIO = 0.5, 16.0
"""Other ratios were not counted over the whole prompt: some servers leave out what their cache had."""
_FEWEST_TOKENS = 32
_FALLS = 0.2
_MARGIN, _UNLEARNED_MARGIN = 1.1, 1.25
_BYTES_PER_TOKEN = 3
_MODELS_KEPT = 64


@dataclass(slots=True)
class TokenScale:
    """How many tokens of one model a token of ours is, as its server counted whole prompts.

    Texts differ, and too little costs an answer: so it rises at once and falls slowly.

    Attributes:
        ratio: Theirs to ours; None until something was counted.
    """

    ratio: float | None = None

    def learn(self, ours: int, theirs: int) -> None:
        """A prompt of `ours` tokens had `theirs`; a figure that cannot be is left out."""
        if ours < _FEWEST_TOKENS or not _LEAST_RATIO <= theirs / ours <= _MOST_RATIO:
            return
        seen, known = theirs / ours, self.ratio or 0.0
        self.ratio = max(seen, known - _FALLS * (known - seen))

    def likely(self, ours: int) -> int:
        """The model's tokens, as far as is known."""
        return math.ceil(ours * (self.ratio or 1.0))

    def ours(self, theirs: int) -> int:
        """Our tokens that are likely no more than `theirs` of the model."""
        return math.floor(theirs / (self.ratio or 1.0))

    def at_most(self, ours: int, messages: Sequence[Message]) -> int:
        """The model's tokens of `messages`, whose texts and template are `ours`, from above."""
        if self.ratio is not None:
            return math.ceil(ours * self.ratio * _MARGIN)
        size_bytes = sum(len(message.content.encode("utf-8", "replace")) for message in messages)
        by_size = math.ceil(size_bytes / _BYTES_PER_TOKEN) + MESSAGE_TOKENS * len(messages)
        return max(math.ceil(ours * _UNLEARNED_MARGIN), by_size)


@dataclass(slots=True)
class TokenScales:
    """A scale for each model that was asked lately."""

    _scales: dict[str, TokenScale] = field(default_factory=dict)

    def of(self, model: str) -> TokenScale:
        """The model's scale; it learns for all who hold it."""
        scale = self._scales.pop(model, None) or TokenScale()
        self._scales[model] = scale
        if len(self._scales) > _MODELS_KEPT:
            del self._scales[next(iter(self._scales))]
        return scale


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


def shortened(text: str, room_tokens: int, count: CountTokens) -> str:
    """The beginning of `text` that fits, whole words where it has any."""
    while text and (tokens := count(text)) > room_tokens:
        keep = min(len(text) - 1, len(text) * max(room_tokens, 0) // tokens)
        end = keep if text[keep] == " " else text.rfind(" ", 0, keep)
        text = text[: end if end > 0 else keep]
    return text
