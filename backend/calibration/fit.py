"""Logistic regressions in which more of a sign never scores less, and how well they tell apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def logistic(x: Floats, y: Floats, ridge: float = 0.1) -> Floats:
    """Weights of a logistic regression (the first is the bias), by Newton's method."""
    x = np.column_stack([np.ones(len(x)), x])
    w = np.zeros(x.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-np.clip(x @ w, -60, 60)))
        hessian = (x * (p * (1 - p))[:, None]).T @ x + ridge * np.eye(len(w))
        w = w + np.linalg.solve(hessian, x.T @ (y - p) - ridge * w)
    return w


def monotone(x: Floats, y: Floats) -> Floats:
    """The same, no weight but the bias below zero: a sign that a few examples turn round is left out."""
    used = np.ones(x.shape[1])
    while True:
        w = logistic(x * used, y)
        if not (w[1:] < 0).any():
            return w
        used[int(np.argmin(w[1:]))] = 0.0


def auc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Chance that one of the first scores above one of the second."""
    ranked = np.sort(np.array(negative))
    below = np.searchsorted(ranked, positive, "left") + np.searchsorted(ranked, positive, "right")
    return float(np.mean(below) / 2 / max(1, len(ranked)))
