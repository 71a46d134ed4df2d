"""Whether people waited as long as they were told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from loadtests.pool.records import Record, Told

LATE = 1.5
"""Waiting this many times longer than the top of the interval breaks the word given."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Shares of those who waited in the queue and then got a slot.

    Attributes:
        waiters: How many they are.
        within: Waited within the interval they were told first.
        late: Waited more than `LATE` times its upper end.
    """

    waiters: int
    within: float
    late: float


def kept(records: Iterable[Record], *, at_least_s: float = 0.05) -> Kept:
    """How well the first interval that each waiter was told holds.

    Who waited less than `at_least_s` got a slot at once, and was told nothing that matters.
    """
    return _shares([(told, waited) for told, waited in _waits(records) if waited >= at_least_s])


def naive_kept(records: Sequence[Record], slots: int, mean_s: float, *, at_least_s: float = 0.05) -> Kept:
    """The same waiters, had they been told place times mean duration over slots, as one number."""

    def told(truly: Told) -> Told:
        guess = truly.position * mean_s / slots
        return Told(truly.at_s, truly.position, guess, guess)

    return _shares([(told(first), waited) for first, waited in _waits(records) if waited >= at_least_s])


def _waits(records: Iterable[Record]) -> list[tuple[Told, float]]:
    return [
        (record.told[0], record.assigned[0][0] - record.told[0].at_s)
        for record in records
        if record.told and record.assigned
    ]


def _shares(waits: Sequence[tuple[Told, float]]) -> Kept:
    if not waits:
        return Kept(0, float("nan"), float("nan"))

    def share(holds: Callable[[Told, float], bool]) -> float:
        return sum(holds(told, waited) for told, waited in waits) / len(waits)

    return Kept(
        len(waits),
        share(lambda told, waited: told.low_s <= waited <= told.high_s),
        share(lambda told, waited: waited > LATE * told.high_s),
    )
