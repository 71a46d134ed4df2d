"""Slot-time that idled while somebody waited: what a pool wastes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from loadtests.pool.attempts import Attempt
from loadtests.pool.flow import most_served
from loadtests.pool.records import Record

Change = tuple[float, int, str, int]
"""When, which counter (0: waiting, by model; 1: busy, by instance), of what, by how many."""


@dataclass(frozen=True, slots=True)
class Idleness:
    """Slot-seconds within the window.

    Attributes:
        total: All there were.
        busy: Of these, in use.
        beside_waiters: Idle while at least one request that could have used the slot waited, anywhere.
        usable: Idle, and a request waited for each: three idle slots beside one waiter count once.
    """

    total: float
    busy: float
    beside_waiters: float
    usable: float


def idleness(
    records: Iterable[Record],
    attempts: Iterable[Attempt],
    slots: Mapping[str, int],
    may: Callable[[str, str], bool],
    window: tuple[float, float],
) -> Idleness:
    """Sums over `window` (begin, end; monotonic seconds).

    A request waits from its arrival at a client until it has a slot, wherever it stands meanwhile: in a
    pool's queue, on its way, or in the inner queue of an instance that it was sent to too early. `may` says
    whether a model can be served by an instance.
    """
    by_arrival: dict[int, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        by_arrival[attempt.arrival].append(attempt)
    changes: list[Change] = []
    for record in records:
        changes += _waits(record, by_arrival[record.id])
    for found in by_arrival.values():
        changes += [change for attempt in found for change in _occupies(attempt)]
    return _swept(sorted(changes), slots, may, window)


def _waits(record: Record, attempts: list[Attempt]) -> list[Change]:
    """From arrival to the first slot, and from each slot lost to the next one."""
    served = sorted((a.slot_s, a.free_s) for a in attempts if a.slot_s is not None)
    changes: list[Change] = []
    since: float | None = record.arrived_s
    for slot_s, free_s in served:
        if since is not None and since < slot_s:
            changes += [(since, 0, record.model, 1), (slot_s, 0, record.model, -1)]
        since = free_s
    if not served:
        changes.append((record.arrived_s, 0, record.model, 1))
        if record.ended_s is not None:
            changes.append((record.ended_s, 0, record.model, -1))
    return changes


def _occupies(attempt: Attempt) -> list[Change]:
    if attempt.slot_s is None:
        return []
    taken: list[Change] = [(attempt.slot_s, 1, attempt.instance, 1)]
    return taken + ([(attempt.free_s, 1, attempt.instance, -1)] if attempt.free_s is not None else [])


def _swept(
    changes: list[Change],
    slots: Mapping[str, int],
    may: Callable[[str, str], bool],
    window: tuple[float, float],
) -> Idleness:
    begin, end = window
    counts: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    busy = beside = usable = 0.0
    last = begin
    for at_s, which, name, change in [*changes, (end, 0, "", 0)]:
        now = min(max(at_s, begin), end)
        if now > last:
            waiting = {model: float(n) for model, n in counts[0].items() if n > 0}
            idle = {i: float(n - counts[1][i]) for i, n in slots.items() if n > counts[1][i]}
            busy += (now - last) * sum(min(counts[1][i], n) for i, n in slots.items())
            beside += (now - last) * sum(n for i, n in idle.items() if any(may(m, i) for m in waiting))
            usable += (now - last) * most_served(waiting, idle, may)
            last = now
        counts[which][name] += change
    return Idleness((end - begin) * sum(slots.values()), busy, beside, usable)
