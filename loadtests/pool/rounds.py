"""One fault a round: many requests in flight, something breaks, what readers saw of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loadtests.bench import percentile
from loadtests.pool.arrivals import Arrival
from loadtests.pool.attempts import Attempt, over_admitted
from loadtests.pool.crew import crew
from loadtests.pool.faults import Fault, Scene
from loadtests.pool.fleet import Running, fleet
from loadtests.pool.job import Job, addresses
from loadtests.pool.machines import MODEL, Machine
from loadtests.pool.records import Record
from loadtests.pool.redis import redis_server

IN_FLIGHT = 200
PROCESSES = 6
STRIKES_AT_S = 4.0
LASTS_S = 14.0
"""Of arrivals, for each round."""
PER_S = 14.0
"""After the first burst: two machines of three can serve that."""
BOUNDS = {"deadline_s": 60.0, "first_token_s": 4.0, "gap_s": 2.0, "quarantine_s": 3.0, "queue_limit": 2048}
"""About a tenth of what the application's settings say, as the outages are a tenth as long."""
SETTLED_S = 0.25
"""How long after the first request left the bad instance all processes know."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a round brought.

    Attributes:
        errors: Codes that readers saw, without those of a process that was killed.
        unannounced: Of these, without a time to come back.
        gone: Requests whose client process was killed.
        lost, twice: Words that never came, or more than once, in answers that were called whole.
        restarts: Answers that were begun anew before the reader's eyes.
        reroute_s: 50th and 100th percentile of the time from the strike to another instance.
        after_ejection: Requests sent to the bad instance though it was known to be bad.
        attempts: Per request.
        pause_s: Longest time without any grant, while somebody waited.
        over: Requests sent to an instance that had no slot free.
        slowest_s: Longest answer, from request to end.
    """

    asked: int
    errors: Mapping[str, int]
    unannounced: int
    gone: int
    lost: int
    twice: int
    restarts: int
    reroute_s: tuple[float, float]
    after_ejection: int
    attempts: float
    pause_s: float
    over: int
    slowest_s: float


def machines() -> list[Machine]:
    return [Machine(name, slots=24, speed=1.0, stream_tps=25.0) for name in "abc"]


def arrivals() -> list[Arrival]:
    """A burst of `IN_FLIGHT`, then a steady flow; answers take two to four seconds."""
    times = [n / IN_FLIGHT for n in range(IN_FLIGHT)]
    times += [1.0 + n / PER_S for n in range(int((LASTS_S - 1.0) * PER_S))]
    return [
        Arrival(n, at_s, 60, 50 + 7 * n % 50, MODEL, f"reader-{n % 50}") for n, at_s in enumerate(times, 1)
    ]


def played(fault: Fault) -> Verdict:
    """One round, with processes, Redis and emulators of its own."""
    with fleet(machines()) as running, redis_server() as redis:
        job = Job(
            "loadtests.pool.contenders:ours", 0, addresses(running), (), "", redis_url=redis.url, **BOUNDS
        )
        asked = arrivals()
        with crew(job, asked, PROCESSES) as clients:
            start_s = clients.begin()
            scene = Scene(running, clients, redis)
            _sleep_until(start_s + STRIKES_AT_S)
            struck_s = time.monotonic()
            fault.strike(scene)
            _sleep_until(struck_s + fault.lasts_s)
            fault.undo(scene)
            undone_s = time.monotonic() if fault.lasts_s else float("inf")
            records = clients.finish(LASTS_S + BOUNDS["deadline_s"] + 30.0)
        attempts = [a for n, one in enumerate(running) if n not in fault.dead for a in one.attempts()]
        bad = running[0].machine.id if fault.is_of_instance else ""
        return judged(records, attempts, asked, running, (struck_s, undone_s), bad)


def judged(
    records: Sequence[Record],
    attempts: Sequence[Attempt],
    asked: Sequence[Arrival],
    running: Sequence[Running],
    trouble: tuple[float, float],
    bad: str,
) -> Verdict:
    """What readers and emulators tell of a round with trouble from one time to another."""
    failed = [r for r in records if not r.is_done]
    done = [r for r in records if r.is_done]
    moved = sorted(_moves(records, bad, trouble[0]))
    ejected_s = min((at_s for at_s, _ in moved), default=float("inf")) + SETTLED_S
    return Verdict(
        asked=len(asked),
        errors=Counter(r.outcome for r in failed),
        unannounced=sum(r.retry_after_s is None for r in failed),
        gone=len(asked) - len(records),
        lost=sum(r.lost for r in done),
        twice=sum(r.twice for r in done),
        restarts=sum(r.restarts for r in done),
        reroute_s=(
            percentile([at_s - since_s for at_s, since_s in moved], 50),
            max((at_s - since_s for at_s, since_s in moved), default=float("nan")),
        ),
        after_ejection=sum(
            instance == bad and ejected_s < at_s < trouble[1] for r in records for at_s, instance in r.assigned
        ),
        attempts=sum(len(r.assigned) for r in records) / max(1, len(records)),
        pause_s=_longest_pause_s(records),
        over=over_admitted(attempts, {one.machine.id: one.machine.slots for one in running}),
        slowest_s=max((r.ended_s - r.arrived_s for r in done if r.ended_s is not None), default=float("nan")),
    )


def _moves(records: Sequence[Record], bad: str, struck_s: float) -> list[tuple[float, float]]:
    """When requests went on elsewhere, and since when they were in trouble."""
    return [
        (later, max(before, struck_s))
        for r in records
        for (before, where), (later, _) in zip(r.assigned, r.assigned[1:], strict=False)
        if later > struck_s and (not bad or where == bad)
    ]


def _longest_pause_s(records: Sequence[Record]) -> float:
    """Longest time between two grants while somebody waited for one."""
    grants = sorted(at_s for r in records for at_s, _ in r.assigned)
    return max(
        (
            later - max(before, min(waits))
            for before, later in zip(grants, grants[1:], strict=False)
            if (waits := [r.arrived_s for r in records if r.assigned and r.arrived_s < later <= r.assigned[0][0]])
        ),
        default=0.0,
    )


def _sleep_until(at_s: float) -> None:
    time.sleep(max(0.0, at_s - time.monotonic()))
