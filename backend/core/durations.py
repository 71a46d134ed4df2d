"""Durations as Go writes them ("1h30m", "500ms"), which is how Ollama takes them."""

from __future__ import annotations

import re

_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_WHOLE = re.compile(rf"[+-]?(?:{_PART.pattern})+")
LONGEST_S = 9_223_372_036.0
"""Go counts nanoseconds in 64 bits: 292 years."""


def go_seconds(text: str) -> float | None:
    """Seconds of a duration with units; None if Go would refuse it."""
    if not _WHOLE.fullmatch(text):
        return None
    seconds = sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(text))
    if seconds > LONGEST_S:
        return None
    return -seconds if text.startswith("-") else seconds
