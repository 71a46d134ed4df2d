"""A clock that moves when it is told to."""

from dataclasses import dataclass


@dataclass(slots=True)
class ManualClock:
    """Both readings advance together."""

    time_s: float = 1_000_000.0

    def monotonic(self) -> float:
        return self.time_s

    def now(self) -> float:
        return self.time_s

    def advance(self, seconds: float) -> None:
        self.time_s += seconds
