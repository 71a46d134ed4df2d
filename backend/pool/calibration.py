"""What became of earlier guesses: between which multiples of the guess do nine in ten lie?"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

MISS = 0.05
"""Part of the outcomes that shall lie below the low end, and above the high one."""
REMEMBERED = 256
"""Outcomes kept; twice as many make the intervals hardly narrower."""
PRIOR_SHARE = 0.3
"""Weight of a made-up outcome beside a real one of the very same circumstances."""
STEP = 0.02
MOST_TRIM = math.log(2.0)


class Calibration:
    """Outcomes of guesses, remembered with their circumstances.

    An end is a quantile over the outcomes of like circumstances (Gaussian weights) and some made-up ones,
    which count where few are remembered. Both ends are then trimmed: each miss moves one out, each hit a
    little in, so that in the long run `MISS` of the outcomes lie beyond it, even if the neighbours mislead
    by a factor of up to two.

    Source: L. Guan, "Localized conformal prediction", Biometrika 2023, for the neighbours; I. Gibbs and
    E. Candès, "Adaptive conformal inference under distribution shift", NeurIPS 2021, for the trim.

    Args:
        scales: float64[d]: how far circumstances may differ and still be alike, per dimension.
    """

    def __init__(self, scales: Floats) -> None:
        self._scales = scales
        self._where = np.zeros((REMEMBERED, len(scales)))
        self._ratios = np.zeros(REMEMBERED)
        self._count = 0
        self._trim_low = 0.0
        self._trim_high = 0.0

    def factors(self, where: Floats, made_up: Floats) -> tuple[Floats, Floats]:
        """Low and high multiple of a guess, float64[n] each.

        Args:
            where: float64[n, d], circumstances.
            made_up: float64[n, k], logarithms of the outcomes to expect there before any is seen.
        """
        kept = min(self._count, REMEMBERED)
        apart = (where[:, None, :] - self._where[None, :kept]) / self._scales
        alike = np.exp(-0.5 * np.sum(apart**2, axis=2))
        ratios = np.concatenate([np.broadcast_to(self._ratios[:kept], alike.shape), made_up], axis=1)
        weights = np.concatenate([alike, np.full_like(made_up, PRIOR_SHARE)], axis=1)
        low, high = _quantiles(ratios, weights)
        return np.exp(low - self._trim_low), np.exp(high + self._trim_high)

    def learn(self, where: Floats, ratio: float) -> None:
        """Remember one outcome: the multiple of its guess."""
        at = self._count % REMEMBERED
        self._where[at], self._ratios[at] = where, math.log(ratio)
        self._count += 1

    def trim(self, *, below: bool, above: bool) -> None:
        """Count one outcome: whether it lay below the low end, or above the high one."""
        self._trim_low = _bounded(self._trim_low + STEP * (below - MISS))
        self._trim_high = _bounded(self._trim_high + STEP * (above - MISS))


def _quantiles(values: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Weighted `MISS` and `1 - MISS` quantile of every row, between two values the nearer one's."""
    order = np.argsort(values, axis=1)
    values = np.take_along_axis(values, order, axis=1)
    weights = np.take_along_axis(weights, order, axis=1)
    reached = np.cumsum(weights, axis=1) - weights / 2
    reached /= np.sum(weights, axis=1, keepdims=True)
    ends = np.array([[np.interp((MISS, 1 - MISS), *row)] for row in zip(reached, values, strict=True)])
    return ends[:, 0, 0], ends[:, 0, 1]


def _bounded(trim: float) -> float:
    return max(-MOST_TRIM, min(MOST_TRIM, trim))
