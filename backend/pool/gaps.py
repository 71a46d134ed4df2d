"""How long a stream may be silent before its instance is taken to stand still: learned from its own gaps.

Between two tokens of a stream a server also reads others' prompts, a batch at a time: a few tenths of a
second on a GPU, many seconds on a CPU. One bound for all machines is the CPU's, and too long for a GPU.

Why, and how the figures were found: docs/adr/0016.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

ENOUGH = 100
"""Gaps before anything is made of them."""
TIMES_USUAL = 120.0
"""A silence of so many usual gaps is none: on a GPU a batch of 512 prompt tokens takes 10 to 60 of them."""
TIMES_LONGEST = 4.0
"""A prompt may be so many times longer than any that was read beside a stream so far."""
SLOW_S = 0.05
"""A machine with longer gaps is no GPU: how long it reads a batch has to be seen, not guessed."""
SEEN_BESIDE = 3
"""Prompts that have to be read beside streams for that."""
USUAL = 0.25
"""The usual gap is this quantile of all: the time of a step that reads no prompt, while half of them do."""
STEP = 0.05
"""How far one gap moves it, in logarithms."""
SHORTEST_S = 1e-4
WINDOW = 10_000
"""The longest gap is remembered for so many gaps, and up to as many more."""


@dataclass(slots=True)
class Gaps:
    """What was seen of all streams of one model on one instance; times are seconds."""

    count: int = 0
    usual_s: float = 0.0
    beside: int = 0
    _longest_s: float = 0.0
    _before_s: float = 0.0

    @property
    def longest_s(self) -> float:
        """The longest of the last `WINDOW` gaps at least."""
        return max(self._longest_s, self._before_s)

    def learn(self, gap_s: float) -> None:
        """One more gap, which ended by a token."""
        self.count += 1
        self.usual_s = _moved(self.usual_s, gap_s) if self.usual_s else max(gap_s, SHORTEST_S)
        self._note(gap_s)
        if self.count % WINDOW == 0:
            self._before_s, self._longest_s = self._longest_s, 0.0

    def read_beside(self) -> None:
        """A prompt was read to its end while another stream was open."""
        self.beside += 1

    def judged(self, silence_s: float) -> None:
        """A stream was given up after `silence_s`: if that was wrong, the next one is borne twice as long."""
        self._note(2 * silence_s / TIMES_LONGEST)

    def patience_s(self, least_s: float, most_s: float) -> float:
        """How long a stream may be silent now, in [`least_s`, `most_s`]; the latter counts if it is less."""
        if self.count < ENOUGH or (self.usual_s > SLOW_S and self.beside < SEEN_BESIDE):
            return most_s
        learned_s = max(TIMES_USUAL * self.usual_s, TIMES_LONGEST * self.longest_s)
        return min(most_s, max(least_s, learned_s))

    def _note(self, gap_s: float) -> None:
        self._longest_s = max(self._longest_s, gap_s)


def _moved(usual_s: float, gap_s: float) -> float:
    """A step towards the quantile: as far up by three gaps in four as down by the fourth.

    Source: H. Robbins, S. Monro, "A Stochastic Approximation Method", Annals of Mathematical Statistics 1951.
    """
    step = USUAL if gap_s > usual_s else USUAL - 1
    return max(SHORTEST_S, usual_s * math.exp(STEP * step))
