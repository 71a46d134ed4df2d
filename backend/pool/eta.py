"""How long a place in the queue takes: an interval that is meant to hold for nine waiters in ten.

A plain guess, the work ahead over the slots, times what earlier waiters needed of theirs. What makes a wait
long or short is mostly who comes later and is served first; no simulation of the slots knows that, those who
waited do (`docs/benchmarks.md` has both).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from backend.pool.calibration import Calibration, Floats
from backend.pool.slots.base import Snapshot

FURTHEST = 512
"""Places beyond take in proportion."""
PRIOR_S = 8.0
"""A generation before any was seen; counts as much as `PRIOR_WEIGHT` that were."""
PRIOR_WEIGHT = 4
SHORTEST_S = 0.02
"""Shorter waits are taken for that long: below, only how old the view was would be learned."""
MADE_UP = 20
OVERTAKEN = 3.5
"""Before anything is learned, later comers may make a wait so many times longer."""
LIKE = np.array([0.5, 0.25])
"""Places a factor of e^0.5 apart are alike; so are places a quarter of the queue apart."""

_PLACES = np.arange(1.0, FURTHEST + 1)
_KNOTS = np.unique(np.geomspace(1, FURTHEST, 24).round())


class Told(tuple[float, float]):
    """Low and high end in seconds, with what is needed to learn from what comes of it.

    Attributes:
        where: Circumstances, in the dimensions of `LIKE`.
        guess_s: What they are multiples of.
    """

    where: Floats
    guess_s: float


@dataclass(frozen=True, slots=True)
class _Reckoned:
    """Of one model in one view: the guess for the first place, the rest per place."""

    guess_s: float
    where: Floats
    low_s: list[float]
    high_s: list[float]

    def told(self, position: int) -> Told:
        place = min(max(1, position), FURTHEST)
        further = max(1.0, position / FURTHEST)
        told = Told((self.low_s[place - 1] * further, self.high_s[place - 1] * further))
        told.where = self.where[place - 1]
        told.guess_s = self.guess_s * place * further
        return told


class Waits:
    """How long a place in the queue takes, from what was seen; one per process."""

    def __init__(self) -> None:
        self._calibration = Calibration(LIKE)
        self._view: Snapshot | None = None
        self._reckoned: dict[str, _Reckoned] = {}

    def interval_s(self, view: Snapshot, model: str, position: int) -> tuple[float, float]:
        """Low and high end of the wait for `position` (1 is next), in seconds; for 90 % of waiters it holds.

        All places of a model are reckoned at once, and once for a view. Further back is never sooner.
        """
        if view is not self._view:
            self._view, self._reckoned = view, {}
        if model not in self._reckoned:
            self._reckoned[model] = self._reckon(view, model)
        return self._reckoned[model].told(position)

    def waited(self, told: tuple[float, float], waited_s: float) -> None:
        """Learn from a waiter who was told `told` when it joined the queue and got its slot after `waited_s`.

        `told` is the very object that `interval_s` gave; of any other pair is only learned whether it held.
        """
        low_s, high_s = told
        self._calibration.trim(below=waited_s < low_s, above=waited_s > high_s)
        if isinstance(told, Told):
            self._calibration.learn(told.where, max(waited_s, SHORTEST_S) / told.guess_s)

    def _reckon(self, view: Snapshot, model: str) -> _Reckoned:
        waiting = view.waiting.get(model, 0)
        guess_s = max(SHORTEST_S, _turn_s(view, model))
        low, high = self._calibration.factors(_where(_KNOTS, waiting), _made_up(_KNOTS))
        between = np.log(_PLACES), np.log(_KNOTS)
        low_s = guess_s * _PLACES * np.interp(*between, low)
        high_s = guess_s * _PLACES * np.interp(*between, np.maximum(low, high))
        return _Reckoned(
            guess_s,
            _where(_PLACES, waiting),
            np.maximum.accumulate(low_s).tolist(),
            np.maximum.accumulate(high_s).tolist(),
        )


def _where(places: Floats, waiting: int) -> Floats:
    """Circumstances of places: how far back, and behind how much of the queue.

    A newcomer in the middle is served before those behind it: few will overtake it. At the end stands who
    has much in the queue already: everybody will.
    """
    return np.column_stack([np.log(places), places / np.maximum(places, waiting + 1)])


def _made_up(places: Floats) -> Floats:
    """float64[n, MADE_UP]: logarithms of the multiples to expect before any is seen.

    From the fast end of a Poisson stream of slots coming free, to being overtaken by many.
    Source: E. Wilson, M. Hilferty, "The distribution of chi-square", PNAS 1931, for the quantile.
    """
    fast = np.maximum(0.0, 1 - 1 / (9 * places) - 1.645 / (3 * np.sqrt(places))) ** 3
    return np.linspace(np.log(np.maximum(0.04, fast)), math.log(OVERTAKEN), MADE_UP, axis=1)


def _turn_s(view: Snapshot, model: str) -> float:
    """Seconds until the next slot comes free for `model`, on average, when all are taken.

    Where slots answer other models too, those who wait for these take their share of the turns.
    """
    turn_s = _mean_s(view, model)
    between = view.waiting.get(model, 0) + 2
    for other, waiting in view.waiting.items():
        if other != model and waiting:
            both = sum(
                row.slots for row in view.capacities.values() if row.answers(model) and row.answers(other)
            )
            turn_s += _mean_s(view, other) * waiting / between * both / _slots(view, other)
    return turn_s / _slots(view, model)


def _slots(view: Snapshot, model: str) -> int:
    """Slots for the model, or those that it will have once loaded."""
    ready = sum(row.slots for row in view.capacities.values() if row.answers(model))
    return ready or max(1, sum(row.slots for row in view.capacities.values() if row.could_answer(model)))


def _mean_s(view: Snapshot, model: str) -> float:
    seen = view.durations_s.get(model, ())
    return (PRIOR_S * PRIOR_WEIGHT + sum(seen)) / (PRIOR_WEIGHT + len(seen))
