"""One answer: retrieve, prompt, generate, fall back. Everything said goes to the generation's log."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

from backend.chat.base import RequestRecord
from backend.chat.budget import TokenScales
from backend.chat.draft import Draft
from backend.chat.fitting import PromptFit, longest
from backend.chat.prompt import Prompt, no_answer
from backend.config import Chat
from backend.config import Engine as EngineSettings
from backend.core.clock import Clock
from backend.core.errors import EngineError, EngineSilent, NoInstance
from backend.core.events import Delta, Done, LogEvent, Queue, Replace, Sources, Thinking
from backend.core.model_names import QUOTING
from backend.engines.base import (
    Bounds,
    End,
    Endpoint,
    Engine,
    GenerationRequest,
    Misplaced,
    Piece,
    Text,
    Thought,
)
from backend.generations.base import GenerationLog
from backend.pool.base import Ask, Assigned, Pool, PoolEvent, Restarted, Waiting
from backend.retrieval.base import Retriever
from backend.telemetry.metrics import Metrics

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answerer:
    """The use case behind every question.

    Args:
        fallback: Engine inside this process that answers when no model server can.
        count: Tokens of a text; may overestimate, never grossly under.
        passage_tokens: Most tokens of passages, in the embedder's counting.
    """

    retriever: Retriever
    pool: Pool
    fallback: Engine
    generations: GenerationLog
    metrics: Metrics
    clock: Clock
    count: Callable[[str], int]
    chat: Chat
    engine: EngineSettings
    passage_tokens: int
    scales: TokenScales = field(default_factory=TokenScales)

    async def answer(self, draft: Draft) -> Done:
        """Say everything but the terminal event, which is returned.

        Raises:
            LibriError: Nothing could answer, or the answer broke off; what was said stays in the log.
        """
        record = draft.record
        if record.model != QUOTING:
            await self.pool.admit(self._ask(record), record.model)
        fit, prompt = await self._prompt(draft)
        await self._emit(draft, Sources(draft.sources, draft.degraded))
        if not prompt.passages:
            await self._say(draft, no_answer(record.language))
            return draft.done("no_answer")
        request = self._request(record, prompt)
        try:
            if record.model == QUOTING:
                raise NoInstance("no model server offers a model")
            return await self._relay(draft, self.pool.generate(self._ask(record), request, fit))
        except (NoInstance, EngineError) as exc:
            if draft.has_answer() or not exc.retryable:
                raise
            log.info("no answer of a model; quoting passages", extra={"code": exc.code})
            draft.narrow(len(draft.sources))
            await self._withdraw(draft, "quoted from the documents instead")
            draft.degraded = (*draft.degraded, "model")
            return await self._relay(draft, self.fallback.generate(Endpoint(""), request))

    async def _prompt(self, draft: Draft) -> tuple[PromptFit, Prompt]:
        """What fits the longest context that the model has on any instance; each gets what fits there."""
        record = draft.record
        began = self.clock.monotonic()
        found = await self.retriever.retrieve(
            record.corpora, record.standalone, record.language, budget_tokens=self.passage_tokens
        )
        draft.retrieval_s = self.clock.monotonic() - began
        self.metrics.stage("retrieve", draft.retrieval_s)
        fit = PromptFit(
            record=record,
            passages=found.passages,
            count=self.count,
            scale=self.scales.of(record.model),
            history_tokens=self.chat.history_tokens,
            given=draft.narrow,
        )
        prompt = fit.whole(longest((await self.pool.contexts(record.model)).values()))
        draft.build_on(prompt.passages, found.degraded)
        return fit, prompt

    def _ask(self, record: RequestRecord) -> Ask:
        first = record.history[0].content if record.history else record.question
        return Ask(
            record.generation, record.owner.tenant, record.owner.subject, record.deadline, affinity=first
        )

    def _request(self, record: RequestRecord, prompt: Prompt) -> GenerationRequest:
        return GenerationRequest(
            model=record.model,
            messages=prompt.messages,
            sampling=record.sampling,
            question=record.standalone,
            passages=prompt.passages,
            language=record.language,
            bounds=Bounds(
                self.engine.connect_s, self.engine.first_token_timeout_s, self.engine.inter_token_timeout_s
            ),
        )

    async def _relay(
        self, draft: Draft, events: AsyncGenerator[PoolEvent, None] | AsyncGenerator[Piece, None]
    ) -> Done:
        """Log what the pool or an engine sends, up to its `End`."""
        asked = self.clock.monotonic()
        async with aclosing(events) as stream:
            async for event in stream:
                match event:
                    case Text(text):
                        await self._say(draft, draft.citations.feed(text))
                    case Thought(text):
                        await self._think(draft, text)
                    case Misplaced():
                        await self._misplaced(draft)
                    case Waiting(position, eta_s, eta_high_s):
                        await self._emit(draft, Queue(position, eta_s, eta_high_s))
                    case Assigned() if draft.queue_s is None:
                        draft.queue_s = self.clock.monotonic() - asked
                        self.metrics.queue_wait(draft.queue_s)
                    case Restarted(reason):
                        await self._withdraw(draft, reason)
                    case End(reason, usage):
                        await self._say(draft, draft.citations.rest())
                        if not draft.has_answer():
                            raise EngineSilent("the model gave no answer")
                        return draft.done(reason, usage)
        raise EngineError("the model server ended without an answer")

    async def _say(self, draft: Draft, text: str) -> None:
        if text:
            self._spoke(draft)
            draft.text.append(text)
            await self._emit(draft, Delta(text))

    async def _think(self, draft: Draft, text: str) -> None:
        self._spoke(draft)
        draft.thought = True
        await self._emit(draft, Thinking(text))

    async def _misplaced(self, draft: Draft) -> None:
        """What was shown as the answer was reasoning; it is shown as such."""
        said = "".join(draft.text) + draft.citations.rest()
        draft.withdraw()
        await self._emit(draft, Replace("answer", "", "this was reasoning"))
        await self._think(draft, said)

    async def _withdraw(self, draft: Draft, reason: str) -> None:
        if draft.thought:
            await self._emit(draft, Replace("thinking", "", reason))
        if draft.text:
            await self._emit(draft, Replace("answer", "", reason))
        draft.withdraw()

    def _spoke(self, draft: Draft) -> None:
        if draft.first_token_s is None:
            draft.first_token_s = draft.elapsed_s()
            self.metrics.first_token(draft.record.model, draft.first_token_s)

    async def _emit(self, draft: Draft, event: LogEvent) -> None:
        await self.generations.append(draft.record.generation, [event])
