"""A request's way through the pool: a slot, a generation there, and another instance if that one fails."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from itertools import accumulate
from uuid import uuid4

from backend.core.aio import Elapsed, to_the_end
from backend.core.clock import Clock
from backend.core.errors import (
    ContextOverflow,
    DeadlineExceeded,
    EngineError,
    EngineRefused,
    EngineRejected,
    EngineTimeout,
    EngineTruncated,
    ModelMissing,
    NoInstance,
    PoolFull,
)
from backend.engines.base import End, GenerationRequest, Misplaced, Piece, Resumed, Spent, Text, Thought
from backend.pool.base import (
    Ask,
    Assigned,
    Fit,
    Instance,
    OfferedModel,
    PoolEvent,
    PoolStatus,
    Restarted,
    Waiting,
)
from backend.pool.controller import Controller
from backend.pool.eta import Waits
from backend.pool.preference import preferences
from backend.pool.retries import Phase, Retried, RetryBudget
from backend.pool.slots.base import Granted, Place, Slots, Ticket
from backend.pool.status import status
from backend.pool.streams import Stream

_BEGINS_ANEW = "another model server began anew"
_HOPELESS = "the wait would outlast the request"
_TOO_LONG = "the wait would be too long"
_SOON_S = 2.0
"""When to come back after failures for which no instance is avoided yet."""


@dataclass(slots=True)
class _Request:
    """One request, over all its attempts.

    Attributes:
        text: Of the answer, as the engines sent it; what another instance goes on from.
        thought: Tokens of the reasoning that was shown.
        elsewhere: Tokens of the answer that the instance at work did not generate.
        end: The engine's word that it is whole.
        failure: Of the latest attempt.
        tag: Its turn in the queue, once it had one.
        failed_in: When the attempt before this one failed.
        moved: That attempt was given up since its instance stands still.
    """

    ask: Ask
    request: GenerationRequest
    ticket: Ticket
    fit: Fit | None = None
    text: list[Text] = field(default_factory=list)
    thought: int = 0
    elsewhere: int = 0
    end: End | None = None
    failure: EngineError | None = None
    tried: frozenset[str] = frozenset()
    tag: float | None = None
    instance: str = ""
    failed_in: Phase | None = None
    moved: bool = False

    def go_on(self) -> None:
        """What another process has said counts as an attempt's: it was let in, and its reader has read it."""
        partial, spent = self.request.partial, self.request.spent
        self.text, self.thought = [Text(partial, tokens=spent.on(len(partial)))], spent.thinking
        self.request = replace(self.request, partial="", spent=Spent())
        self.failed_in = "after"

    def next(self) -> GenerationRequest:
        """What the next instance is asked: to begin, or to go on."""
        if not self.text:
            return self.request
        partial = "".join(piece.text for piece in self.text)
        characters = accumulate(len(piece.text) for piece in self.text)
        tokens = accumulate(piece.tokens for piece in self.text)
        spent = Spent(self.thought, tuple(zip(characters, tokens, strict=True)))
        return replace(self.request, partial=partial, spent=spent)

    def note(self, piece: Text | Thought | Misplaced | Resumed) -> None:
        """Keep what another instance would have to know."""
        match piece:
            case Resumed(continued):
                self.elsewhere = piece.spent
                if not continued:
                    self.text.clear()
                    self.thought = 0
            case Text():
                self.text.append(piece)
            case Thought():
                self.thought += piece.tokens
            case Misplaced():
                self.thought += sum(said.tokens for said in self.text)
                self.text.clear()

    def told(self, end: End) -> End:
        """`end` with the tokens of the whole answer, wherever they were generated."""
        usage = end.usage
        if not self.elsewhere or usage.completion_tokens is None:
            return end
        shown = max(0, self.elsewhere - self.thought)
        prompt = None if usage.prompt_tokens is None else max(0, usage.prompt_tokens - shown)
        completion = usage.completion_tokens + self.elsewhere
        return replace(end, usage=replace(usage, prompt_tokens=prompt, completion_tokens=completion))


class Dispatcher:
    """The pool of one process, over slots that may be shared by many.

    Args:
        controller: Has been opened, and its `run` and `watch` are at work.
        max_wait_s: Nobody is let in whose wait may be longer; who lost its instance meanwhile may wait on.
        refresh_s: Longest time between two looks of a waiter at its place.
        retried: Told of every attempt after the first.
    """

    def __init__(
        self,
        controller: Controller,
        slots: Slots,
        clock: Clock,
        *,
        waits: Waits,
        retries: RetryBudget | None = None,
        max_wait_s: float = math.inf,
        refresh_s: float = 0.5,
        retried: Retried = lambda _: None,
    ) -> None:
        self._controller = controller
        self._knowledge = controller.knowledge
        self._slots = slots
        self._clock = clock
        self._waits = waits
        self._retries = retries or RetryBudget()
        self._max_wait_s = max_wait_s
        self._refresh_s = refresh_s
        self._retried = retried
        self._tickets: dict[str, str] = {}

    async def generate(
        self, ask: Ask, request: GenerationRequest, fit: Fit | None = None
    ) -> AsyncGenerator[PoolEvent, None]:
        """See `Pool.generate`."""
        self._retries.admitted(self._clock.monotonic())
        request = replace(request, model=self._knowledge.names.of(request.model))
        work = _Request(ask, request, self._ticket(ask, request.model), fit)
        if request.partial:
            work.go_on()
        while True:
            async with aclosing(self._turn(work)) as events:
                async for event in events:
                    yield event
            if work.end is not None:
                yield work.told(work.end)
                return
            assert work.failure is not None
            if not (work.fit and isinstance(work.failure, ContextOverflow)):
                if isinstance(work.failure, EngineRejected):
                    raise work.failure
                if not self._may_retry(work):
                    raise self._nobody_left(work)
            work.failed_in = "after" if work.text or work.thought else "before_first_token"
            if work.thought and not work.text:
                work.thought = work.elsewhere = 0
                yield Restarted(_BEGINS_ANEW)

    async def admit(self, ask: Ask, model: str) -> None:
        """See `Pool.admit`."""
        model = self._knowledge.names.of(model)
        left_s = self._left_s(ask)
        try:
            position = await self._slots.peek(self._ticket(ask, model))
        except PoolFull as exc:
            raise self._full(exc, model) from exc
        except NoInstance:
            return
        if position:
            self._check_hope(self._interval_s(model, position), left_s)

    async def promote(self, generation: str) -> None:
        """See `Pool.promote`."""
        if ticket := self._tickets.get(generation):
            await self._slots.promote(ticket)

    async def models(self) -> tuple[OfferedModel, ...]:
        """See `Pool.models`; as the controller last saw them."""
        return self._knowledge.offers()

    async def contexts(self, model: str) -> dict[str, int | None]:
        """See `Pool.contexts`; as the controller last saw them."""
        return {
            id: self._knowledge.context_tokens(id, model)
            for id in self._controller.publisher.could_answer(model)
        }

    async def status(self) -> PoolStatus:
        """See `Pool.status`."""
        view = await self._slots.view()
        return status(self._knowledge, view, self._clock.now())

    def _may_retry(self, work: _Request) -> bool:
        """Whether another attempt is no load that a broken pool has to be spared.

        Who was refused made no work; who was moved was sent, to an instance that is well.
        """
        if work.moved or isinstance(work.failure, EngineRefused | ModelMissing):
            return True
        return self._retries.take(self._clock.monotonic())

    def _ticket(self, ask: Ask, model: str) -> Ticket:
        return Ticket(uuid4().hex, model, f"{ask.tenant}\x1f{ask.subject}", 0.0, ask.priority)

    async def _turn(self, work: _Request) -> AsyncGenerator[PoolEvent, None]:
        """One slot and what is generated on it, but for the `End`; `work` tells how it ended.

        The slot is given back before the reader is told of the end, who may be slow.
        """
        place = await self._join(work)
        held_s: float | None = None
        try:
            async for waiting in self._wait(work, place):
                yield waiting
            asked_at, began = self._clock.now(), self._clock.monotonic()
            async with aclosing(self._generation(work, asked_at)) as events:
                async for event in events:
                    yield event
            held_s = None if work.end is None else self._clock.monotonic() - began
        finally:
            self._tickets.pop(work.ask.generation, None)
            await to_the_end(self._slots.leave(work.ticket.id, held_s=held_s))
        if work.end is not None and held_s is not None:
            await self._controller.succeeded(
                work.instance, _speed(work.end, held_s), began=asked_at, model=work.request.model
            )

    async def _join(self, work: _Request) -> Granted | Place:
        """A slot or a place; the failure before this attempt is raised if nothing else can be tried."""
        work.ticket = replace(
            work.ticket, id=uuid4().hex, patience_s=self._left_s(work.ask), tried=work.tried, tag=work.tag
        )
        preferred = preferences(self._knowledge.that_may_hold(work.request.model), work.ask.affinity)
        try:
            place = await self._slots.join(work.ticket, preferred)
        except PoolFull as exc:
            raise self._full(exc, work.request.model) from exc
        except NoInstance as exc:
            raise self._nobody_left(work, exc) from exc
        self._tickets[work.ask.generation] = work.ticket.id
        work.tag = place.tag
        return place

    async def _wait(self, work: _Request, place: Granted | Place) -> AsyncGenerator[Waiting, None]:
        """`Waiting` events until the slot is there: one at first, then when what it says has changed."""
        joined, first, told = self._clock.monotonic(), None, None
        while isinstance(place, Place):
            low_s, high_s = interval_s = self._interval_s(work.request.model, place.position)
            if first is None:
                first = interval_s
                if work.failed_in is None:  # else it has waited, or its reader has read the beginning
                    self._check_hope(interval_s, self._left_s(work.ask))
            if (shown := (place.position, round(low_s), round(high_s))) != told:
                told = shown
                yield Waiting(place.position, low_s, high_s)
            try:
                place = await self._slots.wait(work.ticket.id, min(self._refresh_s, self._left_s(work.ask)))
            except PoolFull as exc:
                raise self._full(exc, work.request.model) from exc
            except NoInstance as exc:
                raise self._nobody_left(work, exc) from exc
        if first is not None:
            self._waits.waited(first, self._clock.monotonic() - joined)
        work.instance = place.instance

    def _interval_s(self, model: str, position: int) -> tuple[float, float]:
        return self._waits.interval_s(self._controller.publisher.view, model, position)

    def _full(self, exc: PoolFull, model: str) -> PoolFull:
        """With the time after which the queue should have moved by its whole length."""
        high_s = self._interval_s(model, sum(self._controller.publisher.view.waiting.values()) + 1)[1]
        return PoolFull(exc.message, retry_after_s=max(1.0, high_s))

    def _check_hope(self, interval_s: tuple[float, float], left_s: float) -> None:
        """Whoever would get a slot only after the deadline, or might wait too long, is told so now.

        Why the high end bounds the queue: docs/adr/0015.
        """
        low_s, high_s = interval_s
        if low_s > left_s:
            raise PoolFull(_HOPELESS, retry_after_s=max(1.0, low_s))
        if high_s > self._max_wait_s:
            raise PoolFull(_TOO_LONG, retry_after_s=max(1.0, high_s - self._max_wait_s))

    def _left_s(self, ask: Ask) -> float:
        left_s = ask.deadline - self._clock.monotonic()
        if left_s <= 0:
            raise DeadlineExceeded("no slot came free in time")
        return left_s

    async def _generation(self, work: _Request, asked_at: float) -> AsyncGenerator[PoolEvent, None]:
        """The pieces of the instance whose slot it has; a failure is told to everybody at once."""
        instance = self._knowledge.instances().get(work.instance)
        if instance is None:  # removed in this very moment
            work.failure = EngineError("the model server was taken out of service")
            return
        try:
            request = self._cut(work, instance)
        except ContextOverflow as error:
            work.failure, work.tried = error, work.tried | {instance.id}
            return
        if work.failed_in:
            self._retried(work.failed_in)
        yield Assigned(instance.id, work.request.model, instance.engine.name)
        model, gap_s = work.request.model, work.request.bounds.gap_s
        with self._controller.traffic.using(instance.id, model, most_gap_s=gap_s, tried=work.tried) as stream:
            try:
                pieces = instance.engine.generate(instance.endpoint, request)
                async with aclosing(pieces), aclosing(self._noted(work, pieces, stream)) as events:
                    async for event in events:
                        yield event
            except EngineError as error:
                work.failure, work.moved = error, stream.moved
                if not self._is_cut_again(work, instance, error):
                    work.tried |= {instance.id}
                silent_s = self._clock.monotonic() - stream.heard
                await self._controller.failed(
                    instance.id, error, began=asked_at, model=model, silent_s=silent_s
                )

    def _cut(self, work: _Request, instance: Instance) -> GenerationRequest:
        """What the instance is asked, no longer than the model's context there.

        Raises:
            ContextOverflow: Not even the question fits.
        """
        request = work.next()
        if work.fit is None:
            return request
        return work.fit.cut(request, self._knowledge.context_tokens(instance.id, work.request.model))

    def _is_cut_again(self, work: _Request, instance: Instance, error: EngineError) -> bool:
        """Whether it found its prompt too long, and a shorter one is worth asking there."""
        if work.fit is None or not isinstance(error, ContextOverflow):
            return False
        if error.context_tokens is not None:
            self._knowledge.refused_context(instance.id, work.request.model, error.context_tokens)
        return work.fit.refused(error)

    async def _noted(
        self, work: _Request, pieces: AsyncGenerator[Piece, None], stream: Stream
    ) -> AsyncGenerator[PoolEvent, None]:
        """The pieces as events, up to the end; what another instance would have to know is kept."""
        while True:
            piece = await self._next(pieces, work, stream)
            if isinstance(piece, End):
                work.failure, work.end = None, piece
                if work.fit is not None:
                    work.fit.answered(piece.usage)
                return
            work.note(piece)
            if not isinstance(piece, Resumed):
                yield piece
            elif not piece.continued:
                yield Restarted(_BEGINS_ANEW)

    async def _next(self, pieces: AsyncGenerator[Piece, None], work: _Request, stream: Stream) -> Piece:
        """The next piece, before the deadline, and before its instance is known to stand still."""
        now = self._clock.monotonic()
        left_s = work.ask.deadline - now
        if left_s <= 0:
            raise DeadlineExceeded("the answer took too long")
        stream.waits(now)
        try:
            piece = await stream.limit.within(left_s, anext(pieces))
        except StopAsyncIteration as exc:
            raise EngineTruncated("the model server ended without its final word") from exc
        except Elapsed as exc:
            if stream.moved:
                raise EngineTimeout("the model server stands still") from exc
            raise DeadlineExceeded("the answer took too long") from exc
        self._controller.traffic.hears(stream)
        return piece

    def _nobody_left(self, work: _Request, exc: NoInstance | None = None) -> EngineError | NoInstance:
        """What its reader is told: why the latest attempt failed, if there was one, and when to come back."""
        if isinstance(work.failure, EngineRejected):
            return work.failure
        error = work.failure or NoInstance(exc.message if exc else "")
        error.retry_after_s = self._retry_after_s()
        if work.failure and error.retry_after_s is None:
            error.retry_after_s = _SOON_S
        return error

    def _retry_after_s(self) -> float | None:
        """Seconds until the first avoided instance is looked at again; None if none is avoided."""
        now = self._clock.now()
        ends = [known.health.open_until for known in self._knowledge.observed().values()]
        waits_s = [max(0.0, end - now) for end in ends if end is not None]
        return min(waits_s, default=None)


def _speed(end: End, streamed_s: float) -> float | None:
    """Tokens a second of one stream: as the engine counted, else as they came; None if too few to tell."""
    tokens = end.usage.completion_tokens
    took_s = end.usage.completion_s or streamed_s
    return tokens / took_s if tokens and tokens >= 16 and took_s > 0 else None
