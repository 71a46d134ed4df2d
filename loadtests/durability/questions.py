"""Questions whose answers are known: the emulator counts, from a number that no other question has."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

_FIRST = 100_000
_APART = 1_000
_SAID = re.compile(r"count from (\d+) to (\d+)")


@dataclass(frozen=True, slots=True)
class Question:
    """One that nobody else asks.

    Attributes:
        number: Its own, from 0.
        tokens: How long its answer is, at most `_APART`.
    """

    number: int
    tokens: int

    @property
    def first(self) -> int:
        return _FIRST + self.number * _APART

    @property
    def text(self) -> str:
        """Words that the sample documents answer, and what the emulator is to say."""
        return (
            "How long may I keep a borrowed book? For the answer "
            f"count from {self.first} to {self.first + self.tokens - 1}"
        )

    @property
    def words(self) -> list[str]:
        """The answer, word by word."""
        return [str(self.first + n) for n in range(self.tokens)]

    @property
    def answer(self) -> str:
        return " ".join(self.words)


def number_of(text: str) -> int | None:
    """Whose question a text holds; None: nobody's."""
    found = _SAID.search(text)
    return (int(found[1]) - _FIRST) // _APART if found else None


@dataclass(frozen=True, slots=True)
class Difference:
    """How an answer differs from the one that was to be said, in tokens."""

    missing: int
    doubled: int
    foreign: int

    def __bool__(self) -> bool:
        return bool(self.missing or self.doubled or self.foreign)


def difference(question: Question, text: str) -> Difference:
    """Tokens that never came, that came more than once or out of order, and that are of no such answer."""
    wanted, came = question.words, text.split()
    counted, right = Counter(came), set(wanted)
    missing = sum(word not in counted for word in wanted)
    foreign = sum(word not in right for word in came)
    doubled = sum(count - 1 for word, count in counted.items() if word in right)
    return Difference(missing, doubled + _displaced(came, right), foreign)


def _displaced(came: Iterable[str], right: set[str]) -> int:
    """Tokens that stand before a smaller one."""
    numbers = [int(word) for word in dict.fromkeys(came) if word in right]
    return sum(a > b for a, b in pairwise(numbers))
