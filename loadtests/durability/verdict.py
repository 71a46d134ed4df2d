"""What became of the answers, by what was to be said, the history and the emulators; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from loadtests.durability.questions import Difference, difference
from loadtests.durability.reader import Outcome, Reading
from loadtests.durability.truth import Generations, Turn

UNCUT = 5
"""Tokens that an answer may have said and still have no place where another could join it (ADR 0010): three
numbers weigh enough as last words, which may not be the first as well; and one may have been under way."""


@dataclass(slots=True)
class Verdict:
    """Sums over all readings.

    Attributes:
        lost: Readings that did not end with a whole answer, by how.
        wrong: Answers that ended as done and are not what was to be said.
        unkept: Answers whose end told that the history lacks them.
        not_one_turn: Questions with another number of turns, and how many; those told of are left out.
        wrong_turns: Turns whose text is not the answer.
        more_than_one: Questions that were answered from the first word more than once, and how many tokens
            each time; those are left out of which no more than `UNCUT` had been said.
        began_anew: The latter.
    """

    answers: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    wrong: dict[int, Difference] = field(default_factory=dict)
    degraded: Counter[str] = field(default_factory=Counter)
    unkept: int = 0
    not_one_turn: dict[int, int] = field(default_factory=dict)
    wrong_turns: int = 0
    more_than_one: dict[int, Sequence[int]] = field(default_factory=dict)
    began_anew: int = 0
    continued: int = 0
    extra_tokens: int = 0
    asked_again: int = 0
    replaced: int = 0

    @property
    def missing(self) -> int:
        return sum(one.missing for one in self.wrong.values())

    @property
    def doubled(self) -> int:
        return sum(one.doubled + one.foreign for one in self.wrong.values())


def judged(readings: Sequence[Reading], turns: Mapping[int, Sequence[Turn]], said: Generations) -> Verdict:
    """All readings that asked something."""
    verdict = Verdict()
    for reading in readings:
        verdict.answers += 1
        verdict.asked_again += reading.asked_again
        verdict.replaced += reading.replaced
        _judge_text(verdict, reading)
        if reading.outcome is Outcome.DONE:
            _judge_turns(verdict, reading, turns.get(reading.question.number, ()))
            _judge_generations(verdict, reading, said)
    return verdict


def _judge_text(verdict: Verdict, reading: Reading) -> None:
    if (reading.outcome, reading.code) not in ((Outcome.DONE, "stop"), (Outcome.DONE, "")):
        verdict.lost[f"{reading.outcome} {reading.code}".strip()] += 1
        return
    verdict.degraded.update(reading.degraded)
    if "model" in reading.degraded:
        verdict.lost["quoted, no model"] += 1
    elif wrong := difference(reading.question, reading.text):
        verdict.wrong[reading.question.number] = wrong


def _judge_turns(verdict: Verdict, reading: Reading, turns: Sequence[Turn]) -> None:
    if len(turns) != 1:
        if "history" in reading.degraded:
            verdict.unkept += 1
        else:
            verdict.not_one_turn[reading.question.number] = len(turns)
    elif turns[0].answer != reading.text or turns[0].state != "done":
        verdict.wrong_turns += 1


def _judge_generations(verdict: Verdict, reading: Reading, said: Generations) -> None:
    number = reading.question.number
    whole = sorted(said.whole.get(number, ()))
    verdict.began_anew += len(whole) > 1 >= sum(tokens > UNCUT for tokens in whole)
    if not whole or sum(tokens > UNCUT for tokens in whole) > 1:
        verdict.more_than_one[number] = whole
    verdict.continued += said.continued.get(number, 0)
    verdict.extra_tokens += max(0, said.tokens.get(number, 0) - reading.question.tokens)
