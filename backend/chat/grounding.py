"""What an answer is built on: the passages that bear on its question, and the prompt that is made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from backend.chat.budget import TokenScales
from backend.chat.fitting import PromptFit, longest
from backend.chat.prompt import Prompt
from backend.chat.voice import Voice
from backend.core.clock import Clock
from backend.core.types import Scored
from backend.pool.base import Pool
from backend.retrieval.base import Retriever
from backend.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounding:
    """Retrieves and prompts.

    Args:
        count: Tokens of a text; may overestimate, never grossly under.
        passage_tokens: Most tokens of passages, in the embedder's counting.
        history_tokens: Most tokens of earlier turns.
        doubt_threshold: When no passage scores as much, it is not sure that any bears on the question.
    """

    retriever: Retriever
    pool: Pool
    metrics: Metrics
    clock: Clock
    count: Callable[[str], int]
    passage_tokens: int
    history_tokens: int
    doubt_threshold: float
    scales: TokenScales = field(default_factory=TokenScales)

    async def ground(self, voice: Voice) -> tuple[PromptFit, Prompt]:
        """Show the sources; what fits the longest context that the model has, and what fits a shorter one.

        Raises:
            RetrievalUnavailable
        """
        degraded = voice.degraded
        if (passages := voice.record.passages) is None:
            record, began = voice.record, self.clock.monotonic()
            found = await self.retriever.retrieve(
                record.corpora, record.standalone, record.language, budget_tokens=self.passage_tokens
            )
            voice.retrieval_s = self.clock.monotonic() - began
            self.metrics.stage("retrieve", voice.retrieval_s)
            passages, degraded = found.passages, found.degraded
        fit = PromptFit(
            record=voice.record,
            passages=passages,
            count=self.count,
            scale=self.scales.of(voice.record.variant.model),
            history_tokens=self.history_tokens,
            given=voice.narrow,
            doubtful=self.doubts(passages),
        )
        contexts = await self.pool.contexts(voice.record.variant.model)
        prompt = fit.whole(longest(contexts.values()))
        await voice.show(prompt.passages, degraded)
        # What is not shown is in no prompt, though another instance may have room for it.
        return replace(fit, passages=prompt.passages), prompt

    def doubts(self, passages: Sequence[Scored]) -> bool:
        """Whether not one of the passages surely bears on the question."""
        return all(scored.score < self.doubt_threshold for scored in passages)
