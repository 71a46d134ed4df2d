"""What the pool's estimator is compared with: the usual formula, and a simulation of the slots."""

from __future__ import annotations

from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from backend.pool.eta import PRIOR_S
from backend.pool.slots.base import Snapshot

RUNS = 200


class Naive:
    """Place × mean duration / slots: one figure, nothing learned."""

    def interval_s(self, view: Snapshot, model: str, position: int) -> tuple[float, float]:
        mean_s = fmean(view.durations_s.get(model, (PRIOR_S,)))
        expected_s = position * mean_s / sum(row.slots for row in view.capacities.values())
        return expected_s, expected_s

    def waited(self, told: tuple[float, float], waited_s: float) -> None:
        pass


class MonteCarlo:
    """The slots played through many times, with durations as seen; a running one exceeds its age.

    Every slot that comes free is taken at once by the next waiter, so the completions of a slot are sums of
    durations, and `position` is served at the `position`-th completion of all slots.
    """

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def interval_s(self, view: Snapshot, model: str, position: int) -> tuple[float, float]:
        seen = np.sort(view.durations_s.get(model, (1.0, PRIOR_S, 30.0)))
        ages = np.concatenate([_ages(view, name) for name in view.capacities])
        rounds = int(position / len(ages) + 3 + 2 * np.sqrt(position / len(ages)))
        drawn = self._rng.choice(seen, (RUNS, len(ages), rounds))
        drawn[:, :, 0] = self._left_s(seen, ages)
        ends = np.cumsum(drawn, axis=2).reshape(RUNS, -1)
        served = np.partition(ends, position - 1, axis=1)[:, position - 1]
        low_s, high_s = np.quantile(served, (0.05, 0.95))
        return float(low_s), float(high_s)

    def waited(self, told: tuple[float, float], waited_s: float) -> None:
        pass

    def _left_s(self, seen: NDArray[np.float64], ages: NDArray[np.float64]) -> NDArray[np.float64]:
        """float64[RUNS, slots]; who is older than all that were seen may take half its age more."""
        shorter = np.searchsorted(seen, ages, side="right")
        pick = shorter + (self._rng.random((RUNS, len(ages))) * (len(seen) - shorter)).astype(int)
        older = self._rng.exponential(ages / 2, (RUNS, len(ages)))
        return np.where(shorter < len(seen), seen[np.minimum(pick, len(seen) - 1)] - ages, older)


def _ages(view: Snapshot, instance: str) -> NDArray[np.float64]:
    """Since when the slots are taken; one that was free a moment ago is taken now, for somebody waits."""
    held = sorted(view.held_s.get(instance, ()))[: view.capacities[instance].slots]
    return np.array([*held, *[0.0] * (view.capacities[instance].slots - len(held))])
