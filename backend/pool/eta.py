"""How long a place in the queue takes: an interval from the generations just seen."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

_TAIL = 0.1


class Durations:
    """How long generations took lately.

    Args:
        prior_s: Shortest and longest duration to expect before any was seen.
        window: How many are remembered.
    """

    def __init__(self, *, prior_s: tuple[float, float] = (1.0, 30.0), window: int = 64) -> None:
        self._seen: deque[float] = deque(prior_s, maxlen=window)
        self._low_s, self._high_s = prior_s

    def add(self, seconds: float) -> None:
        """Remember one generation that ended."""
        self._seen.append(seconds)
        ranked = sorted(self._seen)
        self._low_s = ranked[int(_TAIL * (len(ranked) - 1))]
        self._high_s = ranked[-int(_TAIL * (len(ranked) - 1)) - 1]

    def bounds_s(self) -> tuple[float, float]:
        """The tenth and the ninetieth percentile of one generation, in seconds."""
        return self._low_s, self._high_s


def wait_bounds_s(
    position: int, ages_s: Iterable[float], slots: int, durations: Durations
) -> tuple[float, float]:
    """Seconds until the slot for `position` (1 is next) comes free: if all go fast, if all go slowly.

    The generations running now (`ages_s` since each began) end in the order they began; every `slots`
    places further back cost one more generation.
    """
    low_s, high_s = durations.bounds_s()
    ages = list(ages_s)
    return _wait_s(position, ages, slots, low_s), _wait_s(position, ages, slots, high_s)


def _wait_s(position: int, ages_s: list[float], slots: int, each_s: float) -> float:
    slots = max(1, slots)
    left = sorted(max(0.0, each_s - age) for age in ages_s)[:slots]
    left = [0.0] * (slots - len(left)) + left
    rounds, turn = divmod(position - 1, slots)
    return left[turn] + rounds * each_s


class Waits:
    def __init__(self, rng):
        self._d = Durations()

    def interval_s(self, view, model, position):
        for d in view.durations_s.get(model, ())[:64]:
            self._d.add(d)
        slots = sum(row.capacity for row in view.rows.values() if row.answers(model))
        ages = [a for held in view.held_s.values() for a in held]
        return wait_bounds_s(position, ages, slots, self._d)

    def waited(self, told, waited_s):
        pass
