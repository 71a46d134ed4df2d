"""Models that an instance lists and does not serve: it says so, or refuses us for this model alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from backend.core.errors import EngineError

LONGEST = 10.0
"""A bar lasts at most so many times the first one."""


class Bar(NamedTuple):
    """Why a model of an instance is asked for elsewhere; times are seconds of the wall clock.

    Attributes:
        until: Then one reader may try it, unseen: a refusal costs no time.
        times: In a row.
        reason: For the operator.
    """

    until: float
    times: int = 1
    reason: str = ""


Bars = Mapping[str, Bar]
"""By model; one that is over stays until the model is served, or is barred anew for longer."""


def barred(bars: Bars, model: str, error: EngineError, now: float, *, first_s: float) -> dict[str, Bar]:
    """The bars after `error` for `model`: `first_s` long, each further one twice as long."""
    before = bars.get(model)
    if before and now < before.until:
        return dict(bars)
    times = before.times + 1 if before else 1
    until = now + first_s * min(2.0 ** min(times - 1, 30), LONGEST)
    return {**bars, model: Bar(until, times, error.reason or error.code)}


def in_force(bars: Bars, now: float) -> dict[str, Bar]:
    """Those that hold at `now`."""
    return {model: bar for model, bar in bars.items() if now < bar.until}
