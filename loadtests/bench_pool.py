"""How well many instances act as one: work conservation, beside the balancers of the field.

    python -m loadtests.bench_pool --data DIR

Client processes replay a real trace of arrivals against emulated machines (a process each). What idled while
somebody waited is read from the emulators, not from the pools.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from loadtests.bench import Report, arguments, data_file
from loadtests.pool.arrivals import Arrival, Row, asked, filled, read_trace
from loadtests.pool.attempts import Attempt
from loadtests.pool.choices import AtRandom, Choice, FreeSlot, InTurns, LeastLoaded
from loadtests.pool.crew import crew
from loadtests.pool.figures import Figures, figures
from loadtests.pool.fleet import Running, fleet
from loadtests.pool.idle import idleness
from loadtests.pool.job import Job, addresses
from loadtests.pool.machines import Machine, seconds_of, slots_of
from loadtests.pool.nginx import is_installed, nginx
from loadtests.pool.records import Record
from loadtests.pool.simulated import play

SKIPPED_ROWS = 5_000
"""The trace begins with a lull and a burst; from here on its rate is steady."""
WARM_UP = 0.1
"""This share of the time is played before anything counts."""
PATIENCE_S = 10.0
DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True)
class Contestant:
    """A row of the table.

    Attributes:
        processes: Client processes; a pool that lives in one process has one.
    """

    name: str
    factory: str
    processes: int = 6
    needs_front: bool = False


CONTESTANTS = (
    Contestant("memory, one process", "loadtests.pool.contenders:memory", processes=1),
    Contestant("naive least loaded", "loadtests.pool.contenders:naive"),
    Contestant("round robin", "loadtests.pool.contenders:round_robin"),
    Contestant("random", "loadtests.pool.contenders:random_choice"),
    Contestant("nginx least_conn", "loadtests.pool.contenders:nginx", needs_front=True),
)
POLICIES: tuple[tuple[str, Choice, int], ...] = (
    ("one queue before all", FreeSlot(), 1),
    ("least loaded, one count", LeastLoaded(random.Random(1)), 1),
    ("least loaded, 6 counts", LeastLoaded(random.Random(1)), 6),
    ("round robin", InTurns(), 1),
    ("random", AtRandom(random.Random(1)), 1),
)
"""What each could do at best, in simulated time."""
SPEED = ("pool", "asked", "done", "tokens/s", "good/s", "first p50", "p95", "p99")
WASTE = (
    *("pool", "busy %", "idle, could serve %", "idle, one waits %"),
    *("over", "inner wait", "late p99", "lost %"),
)


def even_machines(speed: float) -> tuple[Machine, ...]:
    """Three alike, four slots each."""
    return tuple(Machine(name, slots=4, speed=speed) for name in "abc")


def arrivals_for(
    machines: Sequence[Machine], rows: Sequence[Row], load: float, seconds: float
) -> list[Arrival]:
    """The trace at `load` of what the machines can do together."""

    def cost_s(row: Row) -> float:
        return seconds_of(machines, row.prompt_tokens, row.output_tokens)

    models = sorted({model for machine in machines for model in machine.models})
    return asked(filled(rows, cost_s, load, seconds, skip=SKIPPED_ROWS), random.Random(1), models=models)


@dataclass(frozen=True, slots=True)
class Run:
    """Figures of one run, and the share of its time that this machine was too busy to emulate the others."""

    figures: Figures
    lost: float


def measured(
    contestant: Contestant, running: Sequence[Running], arrivals: Sequence[Arrival], seconds: float
) -> Run:
    """One run of one contestant against machines that are idle when it begins and when it ends."""
    for instance in running:
        instance.begin_anew()
    with _front(contestant, running) as front_url:
        job = Job(
            contestant.factory, 0, addresses(running), (), "", front_url=front_url, deadline_s=DEADLINE_S
        )
        with crew(job, arrivals, contestant.processes) as clients:
            start_s = clients.begin()
            records = clients.finish(seconds + DEADLINE_S + 30.0)
    attempts = [attempt for instance in running for attempt in instance.attempts()]
    lost_s = sum(instance.lost_s() for instance in running)
    found = counted(records, attempts, [instance.machine for instance in running], start_s, seconds)
    return Run(found, lost_s / seconds / len(running))


def simulated(
    choose: Choice, processes: int, machines: Sequence[Machine], arrivals: Sequence[Arrival], seconds: float
) -> Run:
    """One policy in simulated time."""
    played = asyncio.run(play(machines, arrivals, choose, processes=processes))
    return Run(counted(played.records, played.attempts, machines, 0.0, seconds), 0.0)


def counted(
    records: Sequence[Record],
    attempts: Sequence[Attempt],
    machines: Sequence[Machine],
    start_s: float,
    seconds: float,
) -> Figures:
    """What counts: from the end of the warm-up to the last arrival."""
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
    with nginx([instance.url for instance in running]) as url:
        yield url


def speed_row(name: str, run: Run) -> tuple[object, ...]:
    """What readers got."""
    found = run.figures
    return name, found.asked, found.outcomes["done"], found.tokens_per_s, found.good_per_s, *found.first_s


def waste_row(name: str, run: Run) -> tuple[object, ...]:
    """What the machines were left with, in shares of all slot-time of the window."""
    found, idle = run.figures, run.figures.idle
    shares = [100 * part / idle.total for part in (idle.busy, idle.usable, idle.beside_waiters)]
    return name, *shares, found.over_admitted, found.inner_wait_s, found.late_s, 100 * run.lost


def tables(report: Report, title: str, runs: Mapping[str, Run], key: str) -> None:
    """The two tables of a scenario."""
    report.table(title, SPEED, [speed_row(*run) for run in runs.items()], key=f"{key} speed")
    report.table("Slots", WASTE, [waste_row(*run) for run in runs.items()], key=f"{key} slots")


def work_conservation(report: Report, args: argparse.Namespace, load: float) -> None:
    """Scenario 1: equal machines, open loop, real lengths and arrivals."""
    machines = even_machines(args.speed)
    arrivals = arrivals_for(machines, read_trace(data_file(args, "arrivals.csv")), load, args.seconds)
    title = f"3 x 4 slots, {load:.0%} load, {args.seconds:.0f} s, {len(arrivals)} requests"
    ideal = {
        name: simulated(choose, processes, machines, arrivals, args.seconds)
        for name, choose, processes in POLICIES
    }
    tables(report, f"Simulated: {title}", ideal, f"simulated {load:.2f}")
    runs: dict[str, Run] = {}
    with fleet(machines) as running:
        for contestant in CONTESTANTS:
            if contestant.needs_front and not is_installed():
                report.say(f"{contestant.name}: left out, nginx is not installed")
                continue
            runs[contestant.name] = measured(contestant, running, arrivals, args.seconds)
            report.say(f"{contestant.name}: {dict(runs[contestant.name].figures.outcomes)}")
    tables(report, title, runs, f"even {load:.2f}")


def _more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=60.0, help="of arrivals, for each contestant")
    parser.add_argument("--speed", type=float, default=2.0, help="of the machines, times an RTX 4090")
    parser.add_argument("--loads", default="0.85", help="comma-separated shares of capacity")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, check."""
    args = arguments("How well many instances act as one.", argv, more=_more)
    if args.quick:
        args.seconds = min(args.seconds, 20.0)
    report = Report("bench_pool")
    for load in args.loads.split(","):
        work_conservation(report, args, float(load))
    return report.finish(args)


if __name__ == "__main__":
    sys.exit(main())
