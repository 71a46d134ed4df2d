"""Answers produced in the background of this process, each with exactly one terminal event."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field, replace

from backend.chat.answer import Answerer
from backend.chat.base import CLOSING_S, UNKEPT, RequestRecord
from backend.chat.draft import Draft
from backend.chat.transcript import state_of
from backend.core.aio import Background, to_the_end
from backend.core.clock import Clock
from backend.core.errors import DeadlineExceeded, LibriError
from backend.core.events import Done, Failed
from backend.generations.base import GenerationId, GenerationLog
from backend.history.base import History
from backend.telemetry.logs import run_context
from backend.telemetry.metrics import Metrics

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class BackgroundProducer:
    """Runs `Answerer` for every generation this process began; implements `Producer`."""

    answerer: Answerer
    generations: GenerationLog
    history: History
    metrics: Metrics
    clock: Clock
    _work: Background = field(default_factory=Background)
    _writes: Background = field(default_factory=Background)
    _tasks: dict[GenerationId, asyncio.Task[None]] = field(default_factory=dict)
    _stopped: set[GenerationId] = field(default_factory=set)

    def start(self, record: RequestRecord) -> None:
        """Begin producing `record`'s answer."""
        task = self._work.start(self._produce(record), name=f"generation {record.generation}")
        self._tasks[record.generation] = task
        task.add_done_callback(lambda _: self._forget(record.generation))

    def stop(self, generation: GenerationId) -> None:
        """End a generation early; its log ends with `done`, finish reason "stopped"."""
        task = self._tasks.get(generation)
        if task is not None and generation not in self._stopped:
            self._stopped.add(generation)
            task.cancel()

    async def sweep(self, every_s: float = 1.0) -> None:
        """Stop what nobody follows any more; runs for ever."""
        while True:
            await asyncio.sleep(every_s)
            for generation in await self.generations.abandoned():
                await self.generations.close_to_others(generation)
                self.stop(generation)

    async def close(self, grace_s: float) -> None:
        """Let running answers end for up to `grace_s`, then fail the rest."""
        await self._work.drain(grace_s)
        await self._writes.drain(CLOSING_S)

    def _forget(self, generation: GenerationId) -> None:
        self._tasks.pop(generation, None)
        self._stopped.discard(generation)

    async def _produce(self, record: RequestRecord) -> None:
        draft = Draft(self.clock, record)
        with run_context(record.run):
            try:
                terminal = await self._outcome(draft)
            except asyncio.CancelledError:
                stopped = record.generation in self._stopped
                await to_the_end(self._end(draft, draft.done("stopped") if stopped else _INTERRUPTED))
                raise
            await to_the_end(self._end(draft, terminal))

    async def _outcome(self, draft: Draft) -> Done | Failed:
        try:
            async with asyncio.timeout(draft.record.deadline - self.clock.monotonic()):
                return await self.answerer.answer(draft)
        except TimeoutError:
            return _failed(DeadlineExceeded("the answer took too long"))
        except LibriError as exc:
            log.warning("generation failed", extra={"code": exc.code})
            return _failed(exc)
        except Exception:
            log.exception("generation failed unexpectedly")
            return _failed(LibriError("something went wrong on our side"))

    async def _end(self, draft: Draft, terminal: Done | Failed) -> None:
        """Keep the turn, then end the log: who saw the end finds the turn whole."""
        generation = draft.record.generation
        self._count(draft, terminal)
        try:
            # First: a run that joined after its turn could be kept would never see it ended.
            await self.generations.close_to_others(generation)
            kept: list[bool] = []
            keeping = self._writes.start(self._keep(draft, terminal, kept), name=f"turn {generation}")
            await asyncio.wait({keeping}, timeout=CLOSING_S)
            if isinstance(terminal, Done) and kept != [True]:
                terminal = replace(terminal, degraded=(*terminal.degraded, UNKEPT))
        finally:
            await self.generations.append(generation, [terminal])

    async def _keep(self, draft: Draft, terminal: Done | Failed, kept: list[bool]) -> None:
        try:
            await self.history.finish(
                await self.generations.runs(draft.record.generation),
                answer="".join(draft.text),
                state=state_of(terminal),
                sources=draft.sources,
                citations=draft.cited(),
                degraded=draft.degraded,
            )
        except LibriError as exc:
            log.warning("the turn could not be kept", extra={"error": type(exc).__name__})
            kept.append(False)
        else:
            kept.append(True)

    def _count(self, draft: Draft, terminal: Done | Failed) -> None:
        result = terminal.finish_reason if isinstance(terminal, Done) else terminal.code
        self.metrics.run_ended(draft.record.model, result, draft.elapsed_s())
        if isinstance(terminal, Done):
            self.metrics.tokens(draft.record.model, terminal.usage)


_INTERRUPTED = Failed("unavailable", "the service is restarting", retryable=True, retry_after_s=5)


def _failed(exc: LibriError) -> Failed:
    return Failed(exc.code, exc.message, exc.retryable, exc.retry_after_s)
