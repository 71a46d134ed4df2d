"""Reasoning that comes inside the content, between tags, told apart as it streams."""

from __future__ import annotations

from typing import Literal

from backend.engines.base import Text, Thought

_OPEN, _CLOSE = "<think>", "</think>"


class ThinkTags:
    """Splits content into reasoning and answer.

    Only a tag at the very start opens reasoning, so that an answer may speak about the tag.
    """

    def __init__(self) -> None:
        self._state: Literal["start", "inside", "trim", "answer"] = "start"
        self._held = ""

    def feed(self, text: str) -> list[Text | Thought]:
        """The pieces that are certain once `text` has come."""
        if self._state == "answer":
            return [Text(text)] if text else []
        self._held += text
        pieces: list[Text | Thought] = []
        if self._state == "start":
            self._open()
        if self._state == "inside":
            self._think(pieces)
        if self._state == "trim":
            self._held = self._held.lstrip()
            self._state = "answer" if self._held else "trim"
        if self._state == "answer" and self._held:
            pieces.append(Text(self._held))
            self._held = ""
        return pieces

    def flush(self) -> list[Text | Thought]:
        """What was held back, when nothing more comes."""
        held, self._held = self._held, ""
        if not held:
            return []
        return [Thought(held) if self._state == "inside" else Text(held)]

    def _open(self) -> None:
        begun = self._held.lstrip()
        if begun.startswith(_OPEN):
            self._held = begun[len(_OPEN) :].lstrip()
            self._state = "inside"
        elif not _OPEN.startswith(begun):
            self._state = "answer"

    def _think(self, pieces: list[Text | Thought]) -> None:
        thought, closed, rest = self._held.partition(_CLOSE)
        if closed:
            self._state, self._held = "trim", rest
        else:
            kept = _partial(thought)
            thought, self._held = thought[: len(thought) - kept], thought[len(thought) - kept :]
        if thought:
            pieces.append(Thought(thought))


def _partial(text: str) -> int:
    """Characters at the end of `text` that may begin the closing tag."""
    return next((n for n in range(len(_CLOSE) - 1, 0, -1) if text.endswith(_CLOSE[:n])), 0)
