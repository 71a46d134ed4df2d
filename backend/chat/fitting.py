"""A prompt for whatever context the model has: what goes into it, and how much is left for the answer.

Passages are numbered as the reader sees them and are dropped from the last one on, so a number never changes
its meaning; one that the model was not given cannot be cited.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from backend.chat.budget import CountTokens, TokenScale
from backend.chat.prompt import FENCE_TOKENS, LEAST_PASSAGE_TOKENS, Prompt, build, fixed_tokens
from backend.core.errors import ContextOverflow
from backend.core.types import Scored, Usage
from backend.engines.base import GenerationRequest
from backend.generations.base import RequestRecord

UNTOLD_TOKENS = 4096
"""Room for a prompt and its answer where neither the server nor the operator tells the context."""
USEFUL_TOKENS = 64
"""An answer gets at least so many if it may be that long, and if passages can make room for it."""
LEAST_TOKENS = 32
"""An answer beside a question that fills the context."""
_COUNTED_AGAIN, _UNCOUNTED_AGAIN = 1, 3
"""How often a prompt found too long is cut again: when the server said how long it was, and when not."""


@dataclass(slots=True, kw_only=True)
class PromptFit:
    """Builds one question's prompt to measure; implements `pool.base.Fit`.

    Args:
        passages: What was found, best first.
        count: Our tokens of a text.
        scale: The model's tokens to ours.
        given: Told how many passages are in the prompt that is asked now.
        doubtful: As in `prompt.build`.
    """

    record: RequestRecord
    passages: Sequence[Scored]
    count: CountTokens
    scale: TokenScale
    history_tokens: int
    given: Callable[[int], None]
    doubtful: bool = False
    _sent: Prompt | None = None
    _is_continuation: bool = False
    _most: float = field(default=math.inf)
    _refusals: int = 0

    def whole(self, context_tokens: int | None) -> Prompt:
        """The prompt for that context; with every passage if not even the question fits."""
        try:
            return self._fitted(context_tokens, self.record.variant.sampling.max_tokens, 0)[0]
        except ContextOverflow:
            return self._build(math.inf)

    def cut(self, request: GenerationRequest, context_tokens: int | None) -> GenerationRequest:
        """See `Fit.cut`. A partial answer counts twice: the model may begin anew after having read it."""
        asked, said = request.sampling.max_tokens, self.scale.likely(self.count(request.partial))
        try:
            prompt, max_tokens = self._fitted(context_tokens, asked, said)
        except ContextOverflow:
            if not request.partial:
                raise
            prompt, max_tokens = self._fitted(context_tokens, asked, 0)
        self._sent, self._is_continuation = prompt, bool(request.partial)
        self.given(len(prompt.passages))
        return replace(
            request,
            messages=prompt.messages,
            passages=prompt.passages,
            sampling=replace(request.sampling, max_tokens=max_tokens),
        )

    def refused(self, error: ContextOverflow) -> bool:
        """See `Fit.refused`."""
        assert self._sent is not None
        counted = error.prompt_tokens
        if counted and not self._is_continuation:
            self.scale.learn(self._sent.tokens, counted)
        least = LEAST_PASSAGE_TOKENS + FENCE_TOKENS
        least += fixed_tokens(self.record.question, self.record.language, self.count, doubtful=self.doubtful)
        self._most = max(least, self._sent.tokens * (0.9 if counted else 0.5))
        self._refusals += 1
        return self._refusals <= (_COUNTED_AGAIN if counted else _UNCOUNTED_AGAIN)

    def answered(self, usage: Usage) -> None:
        """See `Fit.answered`."""
        if self._sent is not None and usage.prompt_tokens and not self._is_continuation:
            self.scale.learn(self._sent.tokens, usage.prompt_tokens)

    def _fitted(self, context_tokens: int | None, asked: int, said: int) -> tuple[Prompt, int]:
        """The prompt, and the most tokens of its answer.

        Raises:
            ContextOverflow: Not even the question fits.
        """
        if context_tokens is None:
            return self._build(self.scale.ours(UNTOLD_TOKENS - _reserve(UNTOLD_TOKENS, asked, said))), asked
        context = context_tokens - said
        wanted = _reserve(context_tokens, asked, said)
        try:
            return self._within(context, asked, wanted, max(min(asked, USEFUL_TOKENS), wanted // 2))
        except ContextOverflow:
            least = min(asked, LEAST_TOKENS + said)
            prompt = self._build(self.scale.ours(context - least))
            return prompt, max(
                least, min(asked, context - self.scale.at_most(prompt.tokens, prompt.messages))
            )

    def _within(self, context: int, asked: int, wanted: int, least: int) -> tuple[Prompt, int]:
        """A prompt that likely leaves `wanted` tokens for the answer, and at least `least` for certain."""
        room = context - wanted
        while True:
            prompt = self._build(self.scale.ours(room))
            at_most = self.scale.at_most(prompt.tokens, prompt.messages)
            if context - at_most >= least:
                return prompt, min(asked, context - at_most)
            fitting = self.scale.likely(prompt.tokens) * (context - least) // at_most
            room = min(room - 1, fitting)

    def _build(self, room_tokens: float) -> Prompt:
        return build(
            self.record.question,
            self.passages,
            self.record.history,
            self.record.language,
            room_tokens=min(room_tokens, self._most),
            history_tokens=self.history_tokens,
            count=self.count,
            doubtful=self.doubtful,
        )


def longest(contexts: Iterable[int | None]) -> int | None:
    """The longest of several instances' contexts; None if one of them does not tell, or there is none."""
    told = list(contexts)
    return max((one for one in told if one is not None), default=None) if None not in told else None


def _reserve(context_tokens: int, asked: int, said: int) -> int:
    """Tokens kept free for an answer: all it may have, but no more than a quarter of the context."""
    return min(asked, max(USEFUL_TOKENS, context_tokens // 4) + said)
