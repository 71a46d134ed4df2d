"""`keep_alive`: a number of seconds, or a duration as Go writes it."""

from __future__ import annotations

import re
from typing import Any

FOR_EVER_S = 292 * 365.25 * 86_400.0
"""A negative keep_alive, as the real server shows it."""
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_GO_TYPES = {bool: "bool", list: "[]interface {}", dict: "map[string]interface {}"}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)")


def keep_alive(value: Any) -> float | None:
    """Seconds; None if not given; negative is for ever.

    Raises:
        ValueError: With Go's sentence.
    """
    if value is None:
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return FOR_EVER_S if value < 0 else float(value)
    if not isinstance(value, str):
        raise ValueError(f"Unsupported type: '{_GO_TYPES.get(type(value), 'unknown')}'")
    seconds = _parsed(value)
    return FOR_EVER_S if seconds < 0 else seconds


def from_text(text: str) -> float:
    """Seconds from a setting: a bare number is seconds.

    Raises:
        ValueError: Neither a number nor a duration.
    """
    try:
        value: Any = float(text)
    except ValueError:
        value = text
    return keep_alive(value) or 0.0


def _parsed(text: str) -> float:
    sign, rest = (-1.0, text[1:]) if text.startswith("-") else (1.0, text.removeprefix("+"))
    if rest == "0":
        return 0.0
    if not rest or _PART.sub("", rest):
        problem = "missing unit in duration" if rest.replace(".", "", 1).isdigit() else "invalid duration"
        raise ValueError(f'time: {problem} "{text}"')
    return sign * sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(rest))
