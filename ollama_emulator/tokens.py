"""The tokeniser: deterministic, and every text is exactly its tokens joined."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson

TEMPLATE_TOKENS = 4
"""What the chat template adds to each message."""
IMAGE_TOKENS = 256
"""What one image costs."""

LONGEST_WORD = 24
"""Longer words are cut, as every tokeniser cuts what it has never seen."""

_SPECIAL = r"</?think(?:ing)?>|<\|[^|<>\s]+\|>"
"""Marks that a model has a token of their own for."""
_ALONE = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
"""Letters of scripts that put no blanks between words: one or two to a token."""


def tokenise(text: str, letters: int = LONGEST_WORD) -> list[str]:
    """The tokens of `text`: whole words or one other character, each with the blank before it, and marks.

    At most `letters` of a word are one token; few make a tokeniser that never saw this language.
    """
    return _pattern(letters).findall(text)


@lru_cache(maxsize=16)
def _pattern(letters: int) -> re.Pattern[str]:
    word = rf"[{_ALONE}]{{1,{min(2, letters)}}}|(?:(?![{_ALONE}])\w){{1,{letters}}}"
    return re.compile(rf"{_SPECIAL}|\s(?={_SPECIAL})|\s?(?:{word}|\W)")


def message_tokens(
    message: Mapping[str, Any], *, is_open: bool = False, letters: int = LONGEST_WORD
) -> list[str]:
    """A message as the template renders it.

    The four template tokens stand at its end, so that the next turn's prompt begins with this turn's prompt
    and answer: the prefix a slot keeps. An `is_open` message (assistant prefill) has no end yet.
    """
    texts = [str(message.get(name) or "") for name in ("thinking", "content")]
    if calls := message.get("tool_calls"):
        texts.append(orjson.dumps(calls).decode())
    tokens = [token for text in texts for token in tokenise(text, letters)]
    tokens += ["<image>"] * (IMAGE_TOKENS * len(message.get("images") or ()))
    return tokens if is_open else [*tokens, f"<|end:{message.get('role', '')}|>", "<|a|>", "<|b|>", "<|c|>"]


def common_prefix(a: Sequence[str], b: Sequence[str]) -> int:
    """How many tokens both begin with; compares whole runs first, which is a hundred times faster."""
    low, end = 0, min(len(a), len(b))
    while low < end:
        high = min(low + 256, end)
        if a[low:high] != b[low:high]:
            return next(at for at in range(low, high) if a[at] != b[at])
        low = high
    return low
