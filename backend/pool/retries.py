"""How often requests may be tried again: a broken pool must not be asked many times as much as a well one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Literal

Phase = Literal["before_first_token", "after"]
"""Whether the reader had been shown something when the attempt failed that is made again."""
Retried = Callable[[Phase], None]
"""Is told of every attempt that is made again, when it begins."""


class RetryBudget:
    """The retries of one process: a share of its requests, and a floor so that a quiet one may retry as well.

    In the window that ends with a retry there are at most `share` times its requests plus `floor` retries;
    over any longer time, therefore, that share of all requests and one floor for each window.

    A window should not be much shorter than a generation, since what fails now was admitted that long ago.
    """

    def __init__(self, *, share: float = 0.2, floor: int = 10, window_s: float = 10.0) -> None:
        self._share = share
        self._floor = floor
        self._window_s = window_s
        self._admitted: deque[float] = deque()
        self._taken: deque[float] = deque()

    def admitted(self, now: float) -> None:
        """Count a request, once, when it comes in; `now` is of any clock that never goes back."""
        self._admitted.append(now)
        self._forget(self._admitted, now)

    def take(self, now: float) -> bool:
        """Whether one retry may be made now; it then is counted as made."""
        self._forget(self._admitted, now)
        self._forget(self._taken, now)
        if len(self._taken) + 1 > self._floor + self._share * len(self._admitted):
            return False
        self._taken.append(now)
        return True

    def _forget(self, times: deque[float], now: float) -> None:
        while times and times[0] <= now - self._window_s:
            times.popleft()
