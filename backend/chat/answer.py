"""One answer, from question to terminal event: retrieve, prompt, generate, log.

`Answerer` writes only to the generation's log; whoever reads, reads there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

from backend.chat.base import RequestRecord
from backend.chat.citations import CitationFilter
from backend.chat.prompt import Prompt, build, no_answer
from backend.config import Chat
from backend.config import Engine as EngineSettings
from backend.core.aio import Background
from backend.core.clock import Clock
from backend.core.errors import DeadlineExceeded, EngineError, LibriError, NoInstance
from backend.core.events import (
    Delta,
    Done,
    Failed,
    LogEvent,
    Queue,
    Replace,
    Source,
    Sources,
    Thinking,
    Timings,
)
from backend.core.types import FinishReason, Scored, Usage
from backend.engines.base import Bounds, End, Endpoint, Engine, GenerationRequest, Text, Thought
from backend.generations.base import GenerationId, GenerationLog
from backend.history.base import History, TurnState
from backend.pool.base import Ask, Assigned, Pool, PoolEvent, Restarted, Waiting
from backend.retrieval.base import Retriever
from backend.telemetry.logs import run_context
from backend.telemetry.metrics import Metrics

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Draft:
    """What has been said so far."""

    clock: Clock
    record: RequestRecord
    text: list[str] = field(default_factory=list)
    sources: tuple[Source, ...] = ()
    degraded: tuple[str, ...] = ()
    citations: CitationFilter = field(default_factory=lambda: CitationFilter(0))
    queue_s: float | None = None
    retrieval_s: float | None = None
    first_token_s: float | None = None

    def elapsed_s(self) -> float:
        return self.clock.monotonic() - self.record.began

    def timings(self) -> Timings:
        return Timings(self.queue_s, self.retrieval_s, self.first_token_s, self.elapsed_s())

    def done(self, reason: FinishReason, usage: Usage | None = None) -> Done:
        cited = tuple(sorted(self.citations.cited))
        return Done(reason, usage or Usage(), self.timings(), cited, self.degraded)


class Answerer:
    """Produces answers in the background of this process.

    Args:
        fallback: Engine inside this process that answers when no model server can.
        count: Tokens of a text; may overestimate, never grossly under.
    """

    def __init__(
        self,
        *,
        retriever: Retriever,
        pool: Pool,
        fallback: Engine,
        generations: GenerationLog,
        history: History,
        metrics: Metrics,
        clock: Clock,
        count: Callable[[str], int],
        chat: Chat,
        engine: EngineSettings,
        passage_tokens: int,
    ) -> None:
        self._retriever = retriever
        self._pool = pool
        self._fallback = fallback
        self._log = generations
        self._history = history
        self._metrics = metrics
        self._clock = clock
        self._count = count
        self._chat = chat
        self._engine = engine
        self._passage_tokens = passage_tokens
        self._work = Background()
        self._tasks: dict[GenerationId, asyncio.Task[None]] = {}
        self._stopped: set[GenerationId] = set()

    def start(self, record: RequestRecord) -> None:
        """Begin producing `record`'s answer."""
        task = self._work.start(self._produce(record), name=f"generation {record.generation}")
        self._tasks[record.generation] = task
        task.add_done_callback(lambda _: self._tasks.pop(record.generation, None))

    def stop(self, generation: GenerationId) -> None:
        """End a generation early; its log ends with `done`, finish reason "stopped"."""
        if task := self._tasks.get(generation):
            self._stopped.add(generation)
            task.cancel()

    async def sweep(self, every_s: float = 1.0) -> None:
        """Stop what nobody follows any more; runs for ever."""
        while True:
            await asyncio.sleep(every_s)
            for generation in await self._log.abandoned():
                self.stop(generation)

    async def close(self, grace_s: float) -> None:
        """Let running answers end for up to `grace_s`, then fail the rest."""
        await self._work.drain(grace_s)

    async def _produce(self, record: RequestRecord) -> None:
        draft = _Draft(self._clock, record)
        with run_context(record.generation):
            try:
                terminal = await self._outcome(record, draft)
            except asyncio.CancelledError:
                stopped = record.generation in self._stopped
                self._stopped.discard(record.generation)
                ending = draft.done("stopped") if stopped else _interrupted()
                await self._finish(record, draft, ending)
                raise
            await self._finish(record, draft, terminal)

    async def _outcome(self, record: RequestRecord, draft: _Draft) -> Done | Failed:
        try:
            async with asyncio.timeout(record.deadline - self._clock.monotonic()):
                return await self._answer(record, draft)
        except TimeoutError:
            return _failed(DeadlineExceeded("the answer took too long"))
        except LibriError as exc:
            log.warning("generation failed", extra={"code": exc.code})
            return _failed(exc)
        except Exception:
            log.exception("generation failed unexpectedly")
            return _failed(LibriError("something went wrong on our side"))

    async def _answer(self, record: RequestRecord, draft: _Draft) -> Done:
        prompt = await self._prompt(record, draft)
        await self._emit(record, Sources(draft.sources, draft.degraded))
        if not prompt.passages:
            await self._say(record, draft, no_answer(record.language))
            return draft.done("no_answer")
        request = GenerationRequest(
            model=record.model,
            messages=prompt.messages,
            sampling=record.sampling,
            question=record.standalone,
            passages=prompt.passages,
            language=record.language,
            bounds=Bounds(self._engine.connect_s, self._engine.first_token_s, self._engine.gap_s),
        )
        try:
            return await self._relay(record, draft, self._pool.generate(self._ask(record), request))
        except (NoInstance, EngineError) as exc:
            if draft.text or not self._may_quote(exc):
                raise
            log.warning("no model server answered; quoting passages", extra={"code": exc.code})
            draft.degraded = (*draft.degraded, "model")
            return await self._relay(record, draft, self._fallback.generate(Endpoint(""), request))

    @staticmethod
    def _may_quote(exc: LibriError) -> bool:
        return exc.retryable

    def _ask(self, record: RequestRecord) -> Ask:
        owner = record.owner
        return Ask(record.generation, owner.tenant, owner.subject, record.deadline)

    async def _prompt(self, record: RequestRecord, draft: _Draft) -> Prompt:
        """Retrieve, and build the prompt."""
        began = self._clock.monotonic()
        found = await self._retriever.retrieve(
            record.corpora, record.standalone, record.language, budget_tokens=self._passage_tokens
        )
        draft.retrieval_s = self._clock.monotonic() - began
        self._metrics.stage("retrieve", draft.retrieval_s)
        prompt = build(
            record.question,
            found.passages,
            record.history,
            record.language,
            room_tokens=self._engine.context_tokens - record.sampling.max_tokens,
            history_tokens=self._chat.history_tokens,
            count=self._count,
        )
        draft.degraded = found.degraded
        draft.sources = tuple(_source(n, scored) for n, scored in enumerate(prompt.passages, 1))
        draft.citations = CitationFilter(len(draft.sources))
        return prompt

    async def _relay(
        self, record: RequestRecord, draft: _Draft, events: AsyncIterator[PoolEvent]
    ) -> Done:
        """Log what the pool or an engine sends, up to its `End`."""
        waiting_since: float | None = None
        async with aclosing(events) as stream:  # type: ignore[type-var]
            async for event in stream:
                match event:
                    case Text(text):
                        await self._say(record, draft, text)
                    case Thought(text):
                        self._first(draft)
                        await self._emit(record, Thinking(text))
                    case Waiting(position, eta_s, eta_high_s):
                        waiting_since = waiting_since or self._clock.monotonic()
                        await self._emit(record, Queue(position, eta_s, eta_high_s))
                    case Assigned():
                        draft.queue_s = self._clock.monotonic() - waiting_since if waiting_since else 0.0
                        self._metrics.queue_wait(draft.queue_s)
                    case Restarted(reason):
                        await self._withdraw(record, draft, reason)
                    case End(reason, usage):
                        await self._say(record, draft, draft.citations.rest(), final=True)
                        return draft.done(reason, usage)
        raise EngineError("the model server ended without an answer")

    async def _say(self, record: RequestRecord, draft: _Draft, text: str, *, final: bool = False) -> None:
        shown = text if final else draft.citations.feed(text)
        if shown:
            self._first(draft)
            draft.text.append(shown)
            await self._emit(record, Delta(shown))

    async def _withdraw(self, record: RequestRecord, draft: _Draft, reason: str) -> None:
        draft.text.clear()
        draft.citations = CitationFilter(len(draft.sources))
        await self._emit(record, Replace("answer", "", reason))

    def _first(self, draft: _Draft) -> None:
        if draft.first_token_s is None:
            draft.first_token_s = draft.elapsed_s()
            self._metrics.first_token(draft.record.model, draft.first_token_s)

    async def _emit(self, record: RequestRecord, event: LogEvent) -> None:
        await self._log.append(record.generation, [event])

    async def _finish(self, record: RequestRecord, draft: _Draft, terminal: Done | Failed) -> None:
        """Keep the turn, then end the log: who saw the end finds the turn whole."""
        runs = await self._log.runs(record.generation)
        result = terminal.finish_reason if isinstance(terminal, Done) else terminal.code
        self._metrics.run_ended(record.model, result, draft.elapsed_s())
        state: TurnState = "failed"
        if isinstance(terminal, Done):
            self._metrics.tokens(record.model, terminal.usage)
            state = "stopped" if terminal.finish_reason == "stopped" else "done"
        try:
            await self._history.finish(
                runs,
                answer="".join(draft.text),
                state=state,
                sources=draft.sources,
                citations=sorted(draft.citations.cited),
                degraded=draft.degraded,
            )
        except LibriError as exc:
            log.warning("the turn could not be kept", extra={"code": exc.code})
        await self._emit(record, terminal)


def _source(n: int, scored: Scored) -> Source:
    passage = scored.passage
    return Source(
        n=n,
        document=passage.document,
        title=passage.title,
        page=passage.page,
        score=round(scored.score, 4),
        revision=passage.revision,
        passage=passage.id,
        name=passage.name,
        heading=" > ".join(passage.headings),
        start=passage.start,
        end=passage.end,
    )


def _failed(exc: LibriError) -> Failed:
    return Failed(exc.code, exc.message, exc.retryable, exc.retry_after_s)


def _interrupted() -> Failed:
    return Failed("unavailable", "the service is restarting", retryable=True, retry_after_s=5)
