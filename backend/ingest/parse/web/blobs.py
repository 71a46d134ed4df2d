"""Data that stands in a text as letters: pictures and files in base64, long hexadecimal dumps."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from backend.ingest.base import Block
from backend.ingest.parse.text import tidy

_URI = re.compile(
    r"!?(?:\[[^\]\n]{0,200}\]\()?data:[\w.+-]{1,60}/[\w.+-]{1,80}[\w;=.+-]{0,200},[^\s\"'<>)]*\)?"
)
_RUN = re.compile(r"(?<![\w+/=-])[A-Za-z0-9+/_-]{160,}={0,2}(?![\w+/=-])")
_LINES = re.compile(
    r"(?<![^\s>|])[A-Za-z0-9+/]{56,}(?:[ \t]*[\n ][ \t>]*[A-Za-z0-9+/]{56,})+"
    r"(?:[ \t]*[\n ][ \t>]*[A-Za-z0-9+/]{2,}={0,2}(?!\S))?"
)
_HEX = re.compile(r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{200,}(?![0-9A-Fa-f])")
_MIN_KINDS = 3
_MIN_SHARE = 0.03


def without_blobs(blocks: Iterable[Block]) -> tuple[tuple[Block, ...], int]:
    """The blocks without such data, and how many pieces of it there were."""
    kept, count = [], 0
    for block in blocks:
        text, found = _stripped(block.text)
        count += found
        if not found:
            kept.append(block)
        elif (left := tidy(text)).strip():
            kept.append(replace(block, text=left))
    return tuple(kept), count


def without_uris(text: str) -> tuple[str, int]:
    """`text` without `data:` addresses and the pictures that they are, and how many there were."""
    return _URI.subn(" ", text) if "data:" in text else (text, 0)


def _stripped(text: str) -> tuple[str, int]:
    count = 0

    def skip(match: re.Match[str]) -> str:
        nonlocal count
        count += 1
        return " "

    def skip_data(match: re.Match[str]) -> str:
        return skip(match) if _is_data(match.group()) else match.group()

    if len(text) >= 100 or "data:" in text:
        text = _HEX.sub(skip, _RUN.sub(skip_data, _LINES.sub(skip_data, _URI.sub(skip, text))))
    return text, count


def _is_data(run: str) -> bool:
    """Whether capitals, small letters and digits are mixed as chance mixes them: no long word, no path is."""
    size = len(run)
    shares = (
        sum(char.isupper() for char in run) / size,
        sum(char.islower() for char in run) / size,
        sum(char.isdigit() for char in run) / size,
    )
    return sum(share > _MIN_SHARE for share in shares) == _MIN_KINDS
