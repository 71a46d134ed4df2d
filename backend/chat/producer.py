"""Answers produced in the background of this process, each with exactly one terminal event."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto

from backend.chat.answer import Answerer
from backend.chat.transcript import Transcript
from backend.chat.turns import CLOSING_S, Turns
from backend.chat.voice import Voice
from backend.core.aio import Background
from backend.core.clock import Clock
from backend.core.errors import DeadlineExceeded, LibriError, LogUnavailable, Superseded
from backend.core.events import Done, Failed, Terminal
from backend.generations.base import GenerationId, GenerationLog, RequestRecord, Word, Writer
from backend.telemetry.logs import run_context
from backend.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

RENEW_S = 0.25
"""How often a writer says that it lives, and hears whether it is wanted: what a stop may take."""
_LOOK_S = 0.1
"""How often a process that closes looks whether the log has what it lacked."""
_INTERRUPTED = Failed("unavailable", "the service is restarting", retryable=True, retry_after_s=5)


class _Cut(Enum):
    """Why an answer ends before it is whole."""

    STOPPED = auto()
    INTERRUPTED = auto()
    HANDED_OVER = auto()
    SUPERSEDED = auto()


@dataclass(slots=True, eq=False)
class _Production:
    """One answer being made, and the task that says it; that task alone is ever cancelled."""

    voice: Voice
    saying: asyncio.Task[Terminal | None]
    cut: _Cut | None = None

    def stop(self, why: _Cut) -> None:
        if self.cut is None:
            self.cut = why
            self.saying.cancel()

    def terminal(self) -> Terminal | None:
        """How it ended; None: it is another's to end."""
        if not self.saying.cancelled():
            return self.saying.result()
        match self.cut:
            case _Cut.STOPPED:
                return self.voice.done("stopped")
            case _Cut.SUPERSEDED:
                return None
            case _:
                return _INTERRUPTED


@dataclass(slots=True, kw_only=True)
class BackgroundProducer:
    """Runs `Answerer` for every generation that this process writes; implements `Producer`.

    An answer is said in a task of its own, and another task waits for it and ends it: so whatever happens to
    the first, even before its first step, the log has its end.
    """

    answerer: Answerer
    turns: Turns
    generations: GenerationLog
    metrics: Metrics
    clock: Clock
    _closes: bool = False
    _work: Background = field(default_factory=Background)
    _live: set[_Production] = field(default_factory=set)

    def start(self, writer: Writer, record: RequestRecord) -> None:
        """See `Producer`."""
        self._start(writer, record, Transcript())

    async def sweep(self, every_s: float = RENEW_S) -> None:
        """Renew what this process writes, stop what nobody wants, go on with what another left; for ever."""
        while True:
            await asyncio.sleep(every_s)
            await asyncio.gather(self._go_on_with_what_is_left(), *map(self._renew, tuple(self._live)))

    async def close(self, grace_s: float) -> None:
        """Hand answers over as soon as others can go on with them; else let them end, for `grace_s`."""
        self._closes = True
        loop = asyncio.get_running_loop()
        until = loop.time() + grace_s
        while saying := [production.saying for production in self._live if production.cut is None]:
            for production in self._live:
                if production.voice.writer.can_release:
                    production.stop(_Cut.HANDED_OVER)
            if (left_s := until - loop.time()) <= 0:
                break
            await asyncio.wait(saying, timeout=min(left_s, _LOOK_S))
        self._cut_all(_Cut.INTERRUPTED)
        await self._work.drain(CLOSING_S + 1)

    def _cut_all(self, why: _Cut) -> None:
        for production in self._live:
            production.stop(why)

    def _start(
        self, writer: Writer, record: RequestRecord, said: Transcript, prepared: Terminal | None = None
    ) -> None:
        voice = Voice(writer=writer, record=record, clock=self.clock, metrics=self.metrics, said=said)
        production = _Production(voice, asyncio.ensure_future(self._outcome(voice, prepared)))
        self._live.add(production)
        self._work.start(self._see_to_its_end(production), name=f"generation {writer.generation}")

    async def _renew(self, production: _Production) -> None:
        try:
            word = await production.voice.writer.renew()
        except Superseded:
            production.stop(_Cut.SUPERSEDED)
        except LogUnavailable:
            return
        else:
            if word is not Word.GO_ON:
                production.stop(_Cut.STOPPED)

    async def _go_on_with_what_is_left(self) -> None:
        with suppress(LogUnavailable):
            for generation in await self.generations.lapsed():
                if not self._closes:
                    await self._take_over(generation)

    async def _take_over(self, generation: GenerationId) -> None:
        if (taken := await self.generations.takeover(generation)) is None:
            return
        self.metrics.taken_over()
        log.warning(
            "an answer goes on that its writer left", extra={"event": "takeover", "run": taken.record.run}
        )
        said = Transcript.of(entry.event for entry in taken.entries)
        self._start(taken.writer, taken.record, said, taken.prepared)

    async def _see_to_its_end(self, production: _Production) -> None:
        await asyncio.wait({production.saying})
        voice = production.voice
        with run_context(voice.record.run):
            try:
                if await self._is_handed_over(production):
                    return
                if (terminal := production.terminal()) is not None:
                    await voice.comes_from("miss")
                    self._count(voice, await self.turns.end(voice.writer, voice.said, terminal))
            except Superseded:
                log.info("another writer ends this answer")
            finally:
                self._live.discard(production)

    async def _is_handed_over(self, production: _Production) -> bool:
        if production.cut is not _Cut.HANDED_OVER or not production.saying.cancelled():
            return False
        try:
            await production.voice.writer.release()
        except LogUnavailable:  # nobody hears it, but the lease ends by itself
            log.warning("an answer is left to who finds it", extra={"run": production.voice.record.run})
        return True

    async def _outcome(self, voice: Voice, prepared: Terminal | None) -> Terminal | None:
        """How the answer ends; None: it is another's by now."""
        if prepared is not None:
            return prepared
        with run_context(voice.record.run):
            try:
                async with asyncio.timeout(voice.record.deadline - self.clock.now()):
                    return await self.answerer.answer(voice)
            except TimeoutError:
                return _failed(DeadlineExceeded("the answer took too long"))
            except Superseded:
                return None
            except LibriError as exc:
                log.warning("generation failed", extra={"code": exc.code})
                return _failed(exc)
            except Exception:
                log.exception("generation failed unexpectedly")
                return _failed(LibriError("something went wrong on our side"))

    def _count(self, voice: Voice, terminal: Terminal) -> None:
        model = voice.record.variant.model
        result = terminal.finish_reason if isinstance(terminal, Done) else terminal.code
        self.metrics.run_ended(model, result, voice.elapsed_s())
        if isinstance(terminal, Done):
            self.metrics.tokens(model, terminal.usage)


def _failed(exc: LibriError) -> Failed:
    return Failed(exc.code, exc.message, exc.retryable, exc.retry_after_s)
