"""One fault a round: many requests in flight, something breaks, what readers saw of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from devstack.redis import redis_server
from loadtests.bench import percentile
from loadtests.pool.arrivals import Arrival
from loadtests.pool.attempts import Attempt, over_admitted
from loadtests.pool.crew import crew
from loadtests.pool.faults import Fault, Scene
from loadtests.pool.fleet import Running, fleet
from loadtests.pool.idle import idleness
from loadtests.pool.job import Job, addresses
from loadtests.pool.machines import MODEL, Machine
from loadtests.pool.records import Record

IN_FLIGHT = 200
PROCESSES = 6
STRIKES_AT_S = 4.0
AFTER_S = 10.0
"""Of arrivals, from the end of the trouble on."""
PER_S = 14.0
"""After the first burst: two machines of three can serve that."""
DEADLINE_S = 600.0
"""As in the application's settings, like all other bounds."""
WATCHED_S = 8.0
"""From the strike on, for what idles."""
SETTLED_S = 0.25
"""How long after the first request left the bad instance all processes know."""


COLUMNS = (
    "asked", "errors", "no retry", "gone", "lost", "twice", "anew", "noticed p50", "most", "moved p50",
    "moved most", "after eject", "tries", "idle %", "over", "slowest",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a round brought.

    Attributes:
        errors: Codes that readers saw, without those of a process that was killed.
        unannounced: Of these, without a time to come back.
        gone: Requests whose client process was killed.
        lost, twice: Words that never came, or more than once, in answers that were called whole.
        restarts: Answers that were begun anew before the reader's eyes.
        noticed_s: 50th and 100th percentile of the time from the strike until those it struck stood in line
            again or had another instance.
        reroute_s: The same until they had another instance; all slots of the others may be taken.
        after_ejection: Requests sent to the bad instance though it was known to be bad.
        attempts: Per request.
        idle: Share of the other instances' slot-time that idled beside waiters, from the strike on.
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
    noticed_s: tuple[float, float]
    reroute_s: tuple[float, float]
    after_ejection: int
    attempts: float
    idle: float
    over: int
    slowest_s: float

    def row(self) -> tuple[object, ...]:
        """As `COLUMNS` say."""
        return (
            self.asked, sum(self.errors.values()), self.unannounced, self.gone, self.lost, self.twice,
            self.restarts, *self.noticed_s, *self.reroute_s, self.after_ejection, self.attempts,
            100 * self.idle, self.over, self.slowest_s,
        )  # fmt: skip


def machines() -> list[Machine]:
    return [Machine(name, slots=24, speed=1.0, stream_tps=8.0) for name in "abc"]


def arrivals(lasts_s: float) -> list[Arrival]:
    """A burst of `IN_FLIGHT`, then a steady flow for `lasts_s`; answers take two to four seconds."""
    times = [n / IN_FLIGHT for n in range(IN_FLIGHT)]
    times += [1.0 + n / PER_S for n in range(int((lasts_s - 1.0) * PER_S))]
    return [
        Arrival(n, at_s, 60, 16 + 7 * n % 17, MODEL, f"reader-{n % 50}") for n, at_s in enumerate(times, 1)
    ]


def played(fault: Fault) -> Verdict:
    """One round, with processes, Redis and emulators of its own."""
    with fleet(machines()) as running, redis_server() as redis:
        job = Job(
            "loadtests.pool.contenders:ours",
            0,
            addresses(running),
            (),
            "",
            redis_url=redis.url,
            deadline_s=DEADLINE_S,
        )
        asked = arrivals(STRIKES_AT_S + fault.lasts_s + AFTER_S)
        with crew(job, asked, PROCESSES) as clients:
            start_s = clients.begin()
            scene = Scene(running, clients, redis)
            _sleep_until(start_s + STRIKES_AT_S)
            struck_s = time.monotonic()
            fault.strike(scene)
            _sleep_until(struck_s + fault.lasts_s)
            fault.undo(scene)
            undone_s = time.monotonic() if fault.lasts_s else float("inf")
            records = clients.finish(AFTER_S + DEADLINE_S + 30.0)
        attempts = [a for n, one in enumerate(running) if n not in fault.dead for a in one.attempts()]
        bad = running[0].machine.id if fault.is_of_instance else ""
        return judged(records, attempts, asked, running, (struck_s, undone_s), bad, fault.trips_at)


def judged(
    records: Sequence[Record],
    attempts: Sequence[Attempt],
    asked: Sequence[Arrival],
    running: Sequence[Running],
    trouble: tuple[float, float],
    bad: str,
    trips_at: int,
) -> Verdict:
    """What readers and emulators tell of a round with trouble from one time to another."""
    failed = [r for r in records if not r.is_done]
    done = [r for r in records if r.is_done]
    moved = _moves(records, bad, trouble[0])
    noticed = sorted(m.noticed_s for m in moved)[trips_at - 1 :]
    ejected_s = noticed[0] + SETTLED_S if noticed else float("inf")
    return Verdict(
        asked=len(asked),
        errors=Counter(r.outcome for r in failed),
        unannounced=sum(r.retry_after_s is None for r in failed),
        gone=len(asked) - len(records),
        lost=sum(r.lost for r in done),
        twice=sum(r.twice for r in done),
        restarts=sum(r.restarts for r in done),
        noticed_s=_middle_and_most([m.noticed_s - m.since_s for m in moved]),
        reroute_s=_middle_and_most([m.at_s - m.since_s for m in moved]),
        after_ejection=sum(
            instance == bad and ejected_s < at_s < trouble[1]
            for r in records
            for at_s, instance in r.assigned
        ),
        attempts=sum(len(r.assigned) for r in records) / max(1, len(records)),
        idle=_idle(records, attempts, running, trouble[0], bad),
        over=over_admitted(attempts, {one.machine.id: one.machine.slots for one in running}),
        slowest_s=max((r.ended_s - r.arrived_s for r in done if r.ended_s is not None), default=float("nan")),
    )


@dataclass(frozen=True, slots=True)
class _Move:
    """A request that went on elsewhere: in trouble since, in line again, on another instance."""

    since_s: float
    noticed_s: float
    at_s: float


def _moves(records: Sequence[Record], bad: str, struck_s: float) -> list[_Move]:
    moves = []
    for r in records:
        for (before, where), (later, _) in zip(r.assigned, r.assigned[1:], strict=False):
            if later > struck_s and (not bad or where == bad):
                since_s = max(before, struck_s)
                told = [t.at_s for t in r.told if since_s < t.at_s < later]
                moves.append(_Move(since_s, min(told, default=later), later))
    return moves


def _middle_and_most(values: Sequence[float]) -> tuple[float, float]:
    return percentile(values, 50), max(values, default=float("nan"))


def _idle(
    records: Sequence[Record],
    attempts: Sequence[Attempt],
    running: Sequence[Running],
    since_s: float,
    bad: str,
) -> float:
    well = {one.machine.id: one.machine.slots for one in running if one.machine.id != bad}
    window = (since_s, since_s + WATCHED_S)
    found = idleness(records, attempts, well, lambda model, machine: True, window)
    return found.usable / found.total


def _sleep_until(at_s: float) -> None:
    time.sleep(max(0.0, at_s - time.monotonic()))
