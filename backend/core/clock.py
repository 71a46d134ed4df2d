"""Where time comes from."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Time, in seconds."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back. For waits and leases."""

    def now(self) -> float:
        """Seconds since the Unix epoch, UTC. For what is stored."""


class SystemClock:
    """The machine's clock."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start."""
        return time.monotonic()

    def now(self) -> float:
        """Seconds since the Unix epoch."""
        return time.time()  # noqa: TID251  the one place that reads the wall clock
