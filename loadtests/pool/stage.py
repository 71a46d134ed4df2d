"""Arrivals in, figures out: a contestant in real time, or a policy in simulated time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from devstack.redis import redis_server
from loadtests.pool.arrivals import Arrival
from loadtests.pool.attempts import Attempt
from loadtests.pool.choices import Choice
from loadtests.pool.crew import crew
from loadtests.pool.figures import Figures, figures
from loadtests.pool.fleet import Running
from loadtests.pool.idle import idleness
from loadtests.pool.job import Job, addresses
from loadtests.pool.machines import Machine, slots_of
from loadtests.pool.nginx import balanced
from loadtests.pool.records import Record
from loadtests.pool.simulated import play
from loadtests.pool.tabled import play_table

WARM_UP = 0.1
"""This share of the time is played before anything counts."""
PATIENCE_S = 10.0
DEADLINE_S = 60.0
GRACE_S = 30.0


@dataclass(frozen=True, slots=True)
class Contestant:
    """A pool under test.

    Attributes:
        factory: `module:function`, see `contenders`.
        processes: Client processes; a pool that lives in one process has one.
    """

    name: str
    factory: str
    processes: int = 6
    needs_front: bool = False
    needs_redis: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """What happened, and what it comes to.

    Attributes:
        lost: Share of the time in which this machine was too busy to emulate the others.
    """

    figures: Figures
    records: Sequence[Record]
    attempts: Sequence[Attempt]
    lost: float = 0.0

    @property
    def unannounced(self) -> int:
        """Refusals that did not say when to come back."""
        return sum(r.outcome == "pool_full" and r.retry_after_s is None for r in self.records)


def measured(
    contestant: Contestant,
    running: Sequence[Running],
    arrivals: Sequence[Arrival],
    seconds: float,
    *,
    max_wait_s: float = 600.0,
) -> Run:
    """One run of `contestant` in real time, with its client processes."""
    for instance in running:
        instance.begin_anew()
    with _front(contestant, running) as front_url, _redis(contestant) as redis_url:
        job = Job(
            contestant.factory,
            0,
            addresses(running),
            (),
            "",
            front_url=front_url,
            redis_url=redis_url,
            max_wait_s=max_wait_s,
            deadline_s=DEADLINE_S,
        )
        with crew(job, arrivals, contestant.processes) as clients:
            start_s = clients.begin()
            records = clients.finish(seconds + DEADLINE_S + GRACE_S)
    attempts = [attempt for instance in running for attempt in instance.attempts()]
    lost = sum(instance.lost_s() for instance in running) / seconds / len(running)
    machines = [instance.machine for instance in running]
    return Run(counted(records, attempts, machines, start_s, seconds), records, attempts, lost)


def simulated(
    choose: Choice, processes: int, machines: Sequence[Machine], arrivals: Sequence[Arrival], seconds: float
) -> Run:
    """One policy in simulated time; each of `processes` knows only what it sent itself."""
    played = asyncio.run(play(machines, arrivals, choose, processes=processes))
    found = counted(played.records, played.attempts, machines, 0.0, seconds)
    return Run(found, played.records, played.attempts)


def simulated_ours(machines: Sequence[Machine], arrivals: Sequence[Arrival], seconds: float) -> Run:
    """Our slots and queue in simulated time."""
    played = asyncio.run(play_table(machines, arrivals))
    found = counted(played.records, played.attempts, machines, 0.0, seconds)
    return Run(found, played.records, played.attempts)


def counted(
    records: Sequence[Record],
    attempts: Sequence[Attempt],
    machines: Sequence[Machine],
    start_s: float,
    seconds: float,
) -> Figures:
    """Figures from the end of the warm-up to the end of the arrivals."""
    models = {machine.id: machine.models for machine in machines}
    window = (start_s + WARM_UP * seconds, start_s + seconds)
    slots = slots_of(machines)
    idle = idleness(records, attempts, slots, lambda model, machine: model in models[machine], window)
    return figures(records, attempts, slots, idle, window, patience_s=PATIENCE_S)


@contextmanager
def _front(contestant: Contestant, running: Sequence[Running]) -> Iterator[str]:
    if not contestant.needs_front:
        yield ""
        return
    with balanced([instance.url for instance in running]) as url:
        yield url


@contextmanager
def _redis(contestant: Contestant) -> Iterator[str]:
    if not contestant.needs_redis:
        yield ""
        return
    with redis_server() as server:
        yield server.url
