"""Who got how much: waits beside those of an ideal fair scheduler, and how even the shares of equals are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from loadtests.bench import percentile
from loadtests.pool.attempts import Attempt
from loadtests.pool.fairness import Job, fair_waits_s, jain
from loadtests.pool.records import Record


@dataclass(frozen=True, slots=True)
class Waits:
    """95th percentiles of the wait for a slot, in seconds: as it was, and as an ideal scheduler had it."""

    real_s: float
    ideal_s: float


def waits_beside_ideal(
    records: Iterable[Record], attempts: Iterable[Attempt], slots: int, whose: Callable[[str], bool]
) -> Waits:
    """Waits of the subjects for which `whose` holds, among all that were served.

    The ideal scheduler has the same arrivals and the same number of slots, and each request holds its slot
    for as long as it really did.
    """
    served = _served(attempts)
    known = sorted((r for r in records if r.id in served), key=lambda r: r.arrived_s)
    jobs = [Job(r.arrived_s, r.subject, _held_s(served[r.id])) for r in known]
    real = [served[r.id][0] - r.arrived_s for r in known if whose(r.subject)]
    ideal = [wait for wait, job in zip(fair_waits_s(jobs, slots), jobs, strict=True) if whose(job.subject)]
    return Waits(percentile(real, 95), percentile(ideal, 95))


def jain_of_backlogged(records: Sequence[Record], attempts: Iterable[Attempt]) -> float:
    """Jain's index over the slot-time each subject had while all of them had somebody waiting.

    For subjects that ask for the same and all at once: whoever's last waiter gets a slot ends the count.
    """
    served = _served(attempts)
    starts: dict[str, list[float]] = defaultdict(list)
    spans: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for record in records:
        if record.id in served:
            starts[record.subject].append(served[record.id][0])
            spans[record.subject].append(served[record.id])
    until = min((max(found) for found in starts.values()), default=0.0)
    return jain([sum(max(0.0, min(end, until) - begin) for begin, end in found) for found in spans.values()])


def _served(attempts: Iterable[Attempt]) -> dict[int, tuple[float, float]]:
    """When each arrival had its (last) slot."""
    return {
        a.arrival: (a.slot_s, a.free_s) for a in attempts if a.slot_s is not None and a.free_s is not None
    }


def _held_s(span: tuple[float, float]) -> float:
    return span[1] - span[0]
