"""A value of a sheet as its number format shows it."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from typing import Any

_LITERAL = re.compile(r"\"([^\"]*)\"|\[\$([^\]-]*)[^\]]*\]|\\(.)|[_*].|([€$£])")
_COLOUR = re.compile(r"\[[^\]$]*\]")
_DECIMALS = re.compile(r"[0#?]\.(0*)")
_UNSEEN_FORMAT = re.compile(r"^;{2,3}$")
_WHITE_INDEXES = (1, 9)


def shown(value: Any, number_format: str) -> str:
    """Dates by ISO 8601, numbers with their unit and without a needless `.0`."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float):
        return _number(value, number_format or "General")
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(" ", _precision(value))
    if isinstance(value, time):
        return value.isoformat(_precision(value))
    if isinstance(value, date | timedelta):
        return str(value)
    return str(value)


def _precision(value: datetime | time) -> str:
    return "seconds" if value.second else "minutes"


def _number(value: float, number_format: str) -> str:
    """With as many decimals as the format has, per cent if it says so, between the words that it adds."""
    section = _COLOUR.sub("", number_format.split(";")[0])
    before, digits, after = _around(section)
    percent = "%" in digits
    value = value * 100 if percent else value
    decimals = _DECIMALS.search(digits)
    if "E" in section or not re.search(r"[0#?]", digits):
        text = _plain(value)
    elif decimals:
        text = f"{value:.{len(decimals.group(1))}f}"
    else:
        text = f"{value:.0f}" if digits.strip("#,% ") else _plain(value)
    return f"{before}{text}{' ' if percent and before else ''}{'%' if percent else ''}{after}"


def _around(section: str) -> tuple[str, str, str]:
    """The words of a format in front of its digits, its digits, and the words behind them."""
    if section in ("General", "@", ""):
        return "", "", ""
    words: list[tuple[int, str]] = []
    digits = _LITERAL.sub("", section)
    first = re.search(r"[0#?]", _LITERAL.sub(lambda match: "\0" * len(match.group()), section))
    for match in _LITERAL.finditer(section):
        if text := next(filter(None, match.groups()), ""):
            words.append((match.start(), text))
    start = first.start() if first else 0
    before = "".join(text for at, text in words if at < start).strip()
    after = "".join(text for at, text in words if at >= start).strip()
    return f"{before} " if before else "", digits, f" {after}" if after else ""


def _plain(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.15g}"


def is_unseen(cell: Any, *, painted: bool) -> bool:
    """Whether the cell's format shows nothing, or its text is white on a cell that nobody painted."""
    if _UNSEEN_FORMAT.match(cell.number_format or ""):
        return True
    return not painted and cell.has_style and _is_white(cell.font.color) and not cell.fill.fill_type


def _is_white(colour: Any) -> bool:
    if colour is None:
        return False
    if colour.type == "rgb":
        return str(colour.rgb).upper().endswith("FFFFFF")
    if colour.type == "theme":
        return bool(colour.theme == 0 and not colour.tint)
    return colour.type == "indexed" and colour.indexed in _WHITE_INDEXES
