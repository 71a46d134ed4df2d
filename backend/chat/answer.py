"""One answer, from its question to its last word: ground it, have a model say it, or quote."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import accumulate

from backend.chat.grounding import Grounding
from backend.chat.prompt import Prompt, closest, no_answer
from backend.chat.voice import Voice
from backend.config import Engine as EngineSettings
from backend.core.clock import Clock
from backend.core.errors import EngineError, EngineSilent, NoInstance
from backend.core.events import Done
from backend.core.model_names import QUOTING
from backend.engines.base import (
    Bounds,
    End,
    Endpoint,
    Engine,
    GenerationRequest,
    Misplaced,
    Piece,
    Spent,
    Text,
    Thought,
)
from backend.pool.base import Ask, Assigned, Pool, PoolEvent, Restarted, Waiting

log = logging.getLogger(__name__)

_MODEL = "model"
"""In `degraded`: no model answered."""
_BEGINS_ANEW = "another process began anew"
_QUOTED = "quoted from the documents instead"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answerer:
    """The use case behind every question.

    Args:
        fallback: Engine inside this process that answers when no model server can.
    """

    grounding: Grounding
    pool: Pool
    fallback: Engine
    clock: Clock
    engine: EngineSettings

    async def answer(self, voice: Voice) -> Done:
        """Say everything but the terminal event, which is returned; goes on behind what `voice` has said.

        Raises:
            LibriError: Nothing could answer, or the answer broke off; what was said stays in the log.
        """
        await voice.comes_from("miss")
        if voice.record.passages is None and voice.record.variant.model != QUOTING:
            await self.pool.admit(self._ask(voice), voice.record.variant.model)
        fit, prompt = await self.grounding.ground(voice)
        if not prompt.passages:
            return await self._knows_nothing(voice)
        if not voice.said.has_answer():
            await voice.withdraw(_BEGINS_ANEW)  # reasoning that was broken off
        request = self._request(voice, prompt)
        if request.model == QUOTING or _MODEL in voice.degraded:
            return await self._without_model(voice, request)
        try:
            return await self._relay(voice, self.pool.generate(self._ask(voice), request, fit))
        except (NoInstance, EngineError) as exc:
            if voice.said.has_answer() or not exc.retryable:
                raise
            log.info("no answer of a model; quoting passages", extra={"code": exc.code})
            return await self._without_model(voice, request)

    async def _knows_nothing(self, voice: Voice) -> Done:
        if not voice.said.has_answer():
            await voice.say(no_answer(voice.record.language))
            await voice.rest()
        return voice.done("no_answer")

    async def _without_model(self, voice: Voice, request: GenerationRequest) -> Done:
        """Quote what surely bears on the question; where nothing does, or nothing answers, offer it."""
        await voice.lacks(_MODEL)
        voice.narrow(len(voice.said.sources))
        await voice.withdraw(_QUOTED)
        if self.grounding.doubts(request.passages):
            done = await self._knows_nothing(voice)
        else:
            anew = replace(request, partial="", spent=Spent())
            done = await self._relay(voice, self.fallback.generate(Endpoint(""), anew))
        if done.finish_reason == "no_answer":
            await voice.say(f" {closest(voice.record.language)}")
            await voice.rest()
        return done

    def _ask(self, voice: Voice) -> Ask:
        record, who = voice.record, voice.record.principal
        first = record.history[0].content if record.history else record.question
        left_s = record.deadline - self.clock.now()
        until = self.clock.monotonic() + left_s
        return Ask(voice.writer.generation, who.tenant, who.subject, until, affinity=first)

    def _request(self, voice: Voice, prompt: Prompt) -> GenerationRequest:
        record, said = voice.record, voice.said
        marks = zip(accumulate(map(len, said.pieces)), range(1, len(said.pieces) + 1), strict=True)
        return GenerationRequest(
            model=record.variant.model,
            messages=prompt.messages,
            sampling=record.variant.sampling,
            question=record.standalone,
            passages=prompt.passages,
            language=record.language,
            bounds=Bounds(
                self.engine.connect_s, self.engine.first_token_timeout_s, self.engine.inter_token_timeout_s
            ),
            partial=said.answer,
            spent=Spent(len(said.thoughts), tuple(marks)),
        )

    async def _relay(
        self, voice: Voice, events: AsyncGenerator[PoolEvent, None] | AsyncGenerator[Piece, None]
    ) -> Done:
        """Say what the pool or an engine sends, up to its `End`."""
        asked = self.clock.monotonic()
        async with aclosing(events) as stream:
            async for event in stream:
                match event:
                    case Text(text):
                        await voice.say(text)
                    case Thought(text):
                        await voice.think(text)
                    case Misplaced():
                        await voice.take_back_as_thought()
                    case Waiting(position, eta_s, eta_high_s):
                        await voice.waits(position, eta_s, eta_high_s)
                    case Assigned():
                        voice.assigned(self.clock.monotonic() - asked)
                    case Restarted(reason):
                        await voice.withdraw(reason)
                    case End(reason, usage):
                        await voice.rest()
                        if not voice.said.has_answer():
                            raise EngineSilent("the model gave no answer")
                        return voice.done(reason, usage)
        raise EngineError("the model server ended without an answer")
