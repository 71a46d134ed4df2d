"""Balancers as they are in the field: each process chooses by what it knows itself, and sends at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from backend.core.clock import Clock
from backend.core.errors import DeadlineExceeded, NoInstance
from backend.engines.base import GenerationRequest, Resumed
from backend.pool.base import Ask, Assigned, Instance, PoolEvent
from loadtests.pool.choices import Choice


class Unqueued:
    """A pool without a queue and without slots: what does not fit waits inside the instance."""

    def __init__(self, instances: Sequence[Instance], choose: Choice, clock: Clock) -> None:
        self._instances = instances
        self._choose = choose
        self._clock = clock
        self._mine: Counter[str] = Counter()

    async def generate(self, ask: Ask, request: GenerationRequest) -> AsyncGenerator[PoolEvent, None]:
        """The events of one attempt.

        Raises:
            NoInstance: None serves the model.
            DeadlineExceeded: `ask.deadline` passed.
            EngineError: The instance failed.
        """
        able = [i for i in self._instances if not i.models or request.model in i.models]
        instance = self._choose(able, self._mine) if able else None
        if instance is None:
            raise NoInstance("no instance serves this model")
        self._mine[instance.id] += 1
        try:
            async with asyncio.timeout(ask.deadline - self._clock.monotonic()):
                yield Assigned(instance.id, request.model, instance.engine.name)
                async with aclosing(instance.engine.generate(instance.endpoint, request)) as pieces:
                    async for piece in pieces:
                        if not isinstance(piece, Resumed):  # nothing here asks to go on
                            yield piece
        except TimeoutError as exc:
            raise DeadlineExceeded("the answer took too long") from exc
        finally:
            self._mine[instance.id] -= 1
