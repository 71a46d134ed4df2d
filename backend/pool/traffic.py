"""What runs on the instances from this process: who stands still, and which models are in use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from backend.core.clock import Clock
from backend.pool.knowledge import Knowledge
from backend.pool.publisher import Publisher
from backend.pool.slots.base import Capacity
from backend.pool.streams import CanGo, Stream, Streams

_TOLD_EVERY_S = 5.0
"""Others learn so often which models are in use; more would be a write for every answer."""


class Traffic:
    """The generations of one process.

    Args:
        least_gap_s: No stream is given up after a shorter silence.
    """

    def __init__(
        self, knowledge: Knowledge, publisher: Publisher, clock: Clock, *, least_gap_s: float
    ) -> None:
        self._knowledge = knowledge
        self._publisher = publisher
        self._clock = clock
        self._streams = Streams(least_gap_s)
        self._use_told: dict[tuple[str, str], float] = {}
        self._in_use: Counter[tuple[str, str]] = Counter()
        self._speed_told: dict[str, float] = {}

    @contextmanager
    def using(self, id: str, model: str, *, most_gap_s: float, tried: frozenset[str]) -> Iterator[Stream]:
        """A generation of `model` runs there while inside, for a request that failed on `tried`."""
        self._use_told.setdefault((id, model), -_TOLD_EVERY_S)
        self._in_use[id, model] += 1
        now = self._clock.monotonic()
        try:
            with self._streams.open(id, model, now=now, most_s=most_gap_s, tried=tried) as stream:
                yield stream
        finally:
            self._in_use[id, model] -= 1

    def hears(self, stream: Stream) -> None:
        """A piece of it has come."""
        self._streams.hears(stream, self._clock.monotonic())

    def watch(self) -> None:
        """Move the streams that are silent for too long, if they can go elsewhere."""
        self._streams.give_up(self._clock.monotonic(), self._can_go())

    def move_silent(self, id: str) -> None:
        """What is known to stand still there, by whichever process, loses its requests of this one."""
        health, now = self._knowledge.health(id), self._clock.now()
        if health.silent_since is None or health.state(now) == "closed":
            return
        since = self._clock.monotonic() - (now - health.silent_since)
        self._streams.move_silent(id, health.hung_model, since=since, can_go=self._can_go())

    def forget(self, id: str) -> None:
        """What was learned of an instance is void."""
        self._streams.forget(id)

    async def tell_use(self) -> None:
        """Tell the others which models are in use where, every few seconds."""
        now = self._clock.monotonic()
        for (id, model), told in list(self._use_told.items()):
            if now - told >= _TOLD_EVERY_S and self._in_use[id, model]:
                self._use_told[id, model] = now
                at = self._clock.now()
                await self._knowledge.change_report(id, lambda report, m=model, at=at: report.used(m, at))  # type: ignore[misc]

    async def tell_speed(self, id: str, tokens_per_s: float) -> None:
        """Tell the others how fast a stream there was, every few seconds."""
        now = self._clock.monotonic()
        if now - self._speed_told.get(id, -_TOLD_EVERY_S) >= _TOLD_EVERY_S:
            self._speed_told[id] = now
            await self._knowledge.change_report(id, lambda report: report.measured(tokens_per_s))

    def _can_go(self) -> CanGo:
        """Whether another instance that is well would take a request over; looked up when first asked."""

        @cache
        def well() -> dict[str, Capacity]:
            now, told = self._clock.now(), self._publisher.told()
            known = self._knowledge.observed().items()
            return {id: told[id] for id, one in known if one.healthy(now) and id in told}

        def can_go(stream: Stream) -> bool:
            left = well().keys() - {stream.instance} - stream.tried
            return any(well()[id].could_answer(stream.model) for id in left)

        return can_go
