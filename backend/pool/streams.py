"""The requests of this process that run on instances: who hears something, who is silent, who is moved."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from backend.core.aio import Limit
from backend.pool.gaps import Gaps

CanGo = Callable[["Stream"], bool]
"""Whether another instance would take a request over."""


@dataclass(slots=True, eq=False)
class Stream:
    """One request on one instance; times are seconds of a clock that never goes back.

    Attributes:
        most_s: The longest silence between two pieces that it may bear.
        tried: Instances that failed the request before.
        limit: Of the wait for the next piece.
        heard: When its latest piece came, or when it began.
        begun: A piece has come.
        waits_since: When the present wait for a piece began; None while its reader has the word.
        moved: It is taken away, since its instance stands still.
    """

    instance: str
    model: str
    most_s: float
    tried: frozenset[str]
    gaps: Gaps
    heard: float
    limit: Limit = field(default_factory=Limit)
    begun: bool = False
    waits_since: float | None = None
    moved: bool = False

    def waits(self, now: float) -> None:
        """Its reader asks for the next piece."""
        self.waits_since = now

    def hears(self, now: float) -> None:
        """A piece has come."""
        if self.begun and self.waits_since is not None:
            self.gaps.learn(now - self.waits_since)
        self.heard, self.begun, self.waits_since = now, True, None

    def silent_s(self, now: float) -> float:
        """For how long it has been waiting for its next piece."""
        return 0.0 if self.waits_since is None else now - self.waits_since

    def move(self) -> None:
        """End its wait."""
        self.moved = True
        self.limit.expire()


class Streams:
    """All of them, and what their gaps taught.

    Args:
        least_s: Nobody is given up after a shorter silence.
    """

    def __init__(self, least_s: float) -> None:
        self._least_s = least_s
        self._open: dict[tuple[str, str], list[Stream]] = defaultdict(list)
        self._gaps: dict[tuple[str, str], Gaps] = defaultdict(Gaps)

    @contextmanager
    def open(
        self, instance: str, model: str, *, now: float, most_s: float, tried: frozenset[str] = frozenset()
    ) -> Iterator[Stream]:
        """A request runs there while inside."""
        key = instance, model
        stream = Stream(instance, model, most_s, tried, self._gaps[key], now)
        beside = self._open[key]
        beside.append(stream)
        try:
            with stream.limit:
                yield stream
        finally:
            beside.remove(stream)
            if not beside:
                del self._open[key]

    def hears(self, stream: Stream, now: float) -> None:
        """A piece has come."""
        if not stream.begun and any(other.begun for other in self._open[stream.instance, stream.model]):
            stream.gaps.read_beside()
        stream.hears(now)

    def give_up(self, now: float, can_go: CanGo) -> None:
        """Move those that have been silent for too long, by what was learned of their instance and model.

        With one go all that have had nothing since. One that nobody would take over waits on, up to `most_s`.
        """
        for stream in self.all():
            silent_s = stream.silent_s(now)
            if stream.begun and silent_s >= self._least_s and not stream.moved:
                patience_s = stream.gaps.patience_s(self._least_s, stream.most_s)
                if silent_s >= patience_s and can_go(stream):
                    stream.gaps.judged(patience_s)
                    stream.move()
                    self.move_silent(stream.instance, stream.model, since=stream.heard, can_go=can_go)

    def move_silent(self, instance: str, model: str, *, since: float, can_go: CanGo) -> None:
        """`model` stands still there since `since`: move those that have had nothing since, and wait."""
        for stream in list(self._open.get((instance, model), ())):
            has_had = stream.begun and stream.heard > since
            if not has_had and stream.waits_since is not None and not stream.moved and can_go(stream):
                stream.move()

    def forget(self, instance: str) -> None:
        """What was learned of an instance is void."""
        for key in [key for key in self._gaps if key[0] == instance]:
            del self._gaps[key]

    def all(self) -> list[Stream]:
        """Those that are open."""
        return [stream for streams in self._open.values() for stream in streams]
