"""The longest pause that a reader saw around a fault; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from loadtests.bench import percentile
from loadtests.durability.reader import Reading

WORST = 8
"""Pauses that are told one by one."""


@dataclass(frozen=True, slots=True)
class Window:
    """When something was broken, and until when its effects count; times of `time.monotonic`."""

    name: str
    began_s: float
    ended_s: float


@dataclass(frozen=True, slots=True)
class Pause:
    """One reader's longest; seconds are from the beginning of the window.

    Attributes:
        came_back_s: When it connected again.
    """

    run: str
    began_s: float
    ended_s: float
    came_back_s: Sequence[float]


@dataclass(frozen=True, slots=True)
class Pauses:
    """Of all whose text was flowing when it began.

    Attributes:
        longest_s: Of each reader.
        came_back: How many had to connect again.
        worst: The longest of all.
    """

    longest_s: Sequence[float]
    came_back: int
    worst: Sequence[Pause]

    @property
    def in_flight(self) -> int:
        return len(self.longest_s)

    def at(self, q: float) -> float:
        return percentile(self.longest_s, q)


def pauses(readings: Iterable[Reading], window: Window) -> Pauses:
    """What the readers of a window saw."""
    found, came_back = [], 0
    for reading in readings:
        if not reading.arrivals or not reading.arrivals[0] <= window.began_s <= _end_of(reading):
            continue
        found.append(_longest(reading, window))
        came_back += any(window.began_s <= at <= window.ended_s for at in reading.came_back)
    found.sort(key=lambda pause: pause.began_s - pause.ended_s)
    return Pauses([one.ended_s - one.began_s for one in found], came_back, found[:WORST])


def _end_of(reading: Reading) -> float:
    """The last moment at which it waited for text; one that was lost waits for ever."""
    return reading.ended_s or float("inf")


def _longest(reading: Reading, window: Window) -> Pause:
    times = [*reading.arrivals, _end_of(reading)]
    gaps = [
        (before, after)
        for before, after in pairwise(times)
        if after > window.began_s and before < window.ended_s
    ]
    before, after = max(gaps, key=lambda gap: gap[1] - gap[0], default=(window.began_s, window.began_s))
    back = [at - window.began_s for at in reading.came_back]
    return Pause(reading.run, before - window.began_s, after - window.began_s, back)
