"""The entries of one log, packed: all bytes in one buffer, and where each entry ends."""

from __future__ import annotations

from array import array
from itertools import pairwise
from typing import Final

from backend.core.events import Delta, Done, Failed, LogEvent, Origin, Queue, Replace, Sources, Thinking
from backend.generations.codec import decode

_NAMES: Final = tuple(e.name for e in (Delta, Thinking, Origin, Queue, Sources, Replace, Done, Failed))
_CODES: Final = {name: code for code, name in enumerate(_NAMES)}
_TEXT: Final = (_CODES[Delta.name], _CODES[Thinking.name])
BYTES_PER_ENTRY: Final = 5
"""Beside its text: one for its kind, four for where it ends."""


class PackedEvents:
    """Events in the order they came, numbered from 0; an event costs its text and `BYTES_PER_ENTRY`."""

    __slots__ = ("_data", "_ends", "_kinds")

    def __init__(self) -> None:
        self._data = bytearray()
        self._kinds = bytearray()
        self._ends = array("I")

    def __len__(self) -> int:
        """How many there are."""
        return len(self._kinds)

    @property
    def size_bytes(self) -> int:
        """Of all of them."""
        return len(self._data) + BYTES_PER_ENTRY * len(self._kinds)

    def append(self, name: str, data: bytes) -> None:
        """Put the event that `codec` decodes from these behind the others."""
        self._data += data
        self._kinds.append(_CODES[name])
        self._ends.append(len(self._data))

    def trim(self) -> None:
        """Give back what was set aside for more."""
        self._data, self._kinds = bytearray(bytes(self._data)), bytearray(bytes(self._kinds))
        self._ends = array("I", self._ends.tobytes())

    def event(self, number: int) -> LogEvent:
        """One of them."""
        return self._event(self._kinds[number], number, number + 1)

    def raw(self, number: int) -> tuple[str, bytes]:
        """The name of one of them, and what is kept of it."""
        begins = self._ends[number - 1] if number else 0
        return _NAMES[self._kinds[number]], bytes(self._data[begins : self._ends[number]])

    def merged(self, start: int, until: int) -> list[tuple[int, LogEvent]]:
        """Events from `start` to `until`, neighbouring text as one, each with the number of its last."""
        kinds = self._kinds
        if until - start == 1:  # nearly always: a token is read before the next one comes
            return [(start, self._event(kinds[start], start, until))]
        edges = [
            n for n in range(start, until) if n == start or kinds[n] != kinds[n - 1] or kinds[n] not in _TEXT
        ]
        return [(end - 1, self._event(kinds[first], first, end)) for first, end in pairwise((*edges, until))]

    def _event(self, kind: int, start: int, end: int) -> LogEvent:
        begins = self._ends[start - 1] if start else 0
        return decode(_NAMES[kind], self._data[begins : self._ends[end - 1]])
