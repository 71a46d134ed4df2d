"""How balancers choose: by their own count, in turns, at random."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Sequence
from typing import Protocol, TypeVar


class Seated(Protocol):
    """A server with slots, real or simulated."""

    @property
    def id(self) -> str: ...

    @property
    def slots(self) -> int: ...


S = TypeVar("S", bound=Seated)


class Choice(Protocol):
    """Picks one server, given how many requests the chooser has on each; None: the request has to wait."""

    def __call__(self, able: Sequence[S], held: Counter[str]) -> S | None: ...


class LeastLoaded:
    """The one with the fewest requests per slot, drawn among equals."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def __call__(self, able: Sequence[S], held: Counter[str]) -> S | None:
        return min(able, key=lambda server: (held[server.id] / server.slots, self._rng.random()))


class InTurns:
    """One after the other."""

    def __init__(self) -> None:
        self._turns = itertools.count()

    def __call__(self, able: Sequence[S], held: Counter[str]) -> S | None:
        return able[next(self._turns) % len(able)]


class AtRandom:
    """Any."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def __call__(self, able: Sequence[S], held: Counter[str]) -> S | None:
        return self._rng.choice(able)


class FreeSlot:
    """The least used of those with a free slot, the first named among equals; none if all are full."""

    def __call__(self, able: Sequence[S], held: Counter[str]) -> S | None:
        free = [server for server in able if held[server.id] < server.slots]
        return min(free, key=lambda server: held[server.id] / server.slots, default=None)
