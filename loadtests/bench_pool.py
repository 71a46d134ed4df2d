"""How well many instances act as one: work conservation, beside the balancers of the field.

    python -m loadtests.bench_pool --data DIR

Client processes replay a real trace of arrivals against emulated machines (a process each). What idled while
somebody waited is read from the emulators, not from the pools.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from loadtests.bench import Report, arguments, data_file
from loadtests.pool.arrivals import Arrival, Row, asked, filled, read_trace
from loadtests.pool.crew import crew
from loadtests.pool.figures import Figures, figures
from loadtests.pool.fleet import Running, fleet
from loadtests.pool.idle import idleness
from loadtests.pool.job import Job, addresses
from loadtests.pool.machines import Machine, seconds_of, slots_of
from loadtests.pool.nginx import is_installed, nginx

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
SPEED = ("pool", "asked", "done", "tokens/s", "good/s", "first p50", "p95", "p99")
WASTE = ("pool", "busy %", "idle, could serve %", "idle, one waits %", "over", "inner wait", "late p99")


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
    return asked(filled(rows, cost_s, load, seconds), random.Random(1), models=models)


def measured(
    contestant: Contestant, running: Sequence[Running], arrivals: Sequence[Arrival], seconds: float
) -> Figures:
    """One run of one contestant against machines that are idle when it begins and when it ends."""
    for instance in running:
        instance.forget()
    with _front(contestant, running) as front_url:
        job = Job(
            contestant.factory, 0, addresses(running), (), "", front_url=front_url, deadline_s=DEADLINE_S
        )
        with crew(job, arrivals, contestant.processes) as clients:
            start_s = clients.begin()
            records = clients.finish(seconds + DEADLINE_S + 30.0)
    attempts = [attempt for instance in running for attempt in instance.attempts()]
    machines = [instance.machine for instance in running]
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


def speed_row(name: str, found: Figures) -> tuple[object, ...]:
    """What readers got; seconds are real ones."""
    return name, found.asked, found.outcomes["done"], found.tokens_per_s, found.good_per_s, *found.first_s


def waste_row(name: str, found: Figures) -> tuple[object, ...]:
    """What the machines were left with, in shares of all slot-time of the window."""
    idle = found.idle
    shares = [100 * part / idle.total for part in (idle.busy, idle.usable, idle.beside_waiters)]
    return name, *shares, found.over_admitted, found.inner_wait_s, found.late_s


def work_conservation(report: Report, args: argparse.Namespace, load: float) -> None:
    """Scenario 1: equal machines, open loop, real lengths and arrivals."""
    rows = read_trace(data_file(args, "arrivals.csv"))
    machines = even_machines(args.speed)
    arrivals = arrivals_for(machines, rows, load, args.seconds)
    runs: dict[str, Figures] = {}
    with fleet(machines) as running:
        for contestant in CONTESTANTS:
            if contestant.needs_front and not is_installed():
                report.say(f"{contestant.name}: left out, nginx is not installed")
                continue
            found = runs[contestant.name] = measured(contestant, running, arrivals, args.seconds)
            report.say(f"{contestant.name}: {dict(found.outcomes)}")
    title = f"3 machines x 4 slots, {load:.0%} load, {args.seconds:.0f} s, {len(arrivals)} requests"
    lines = [speed_row(name, found) for name, found in runs.items()]
    report.table(title, SPEED, lines, key=f"even {load:.2f} speed")
    lines = [waste_row(name, found) for name, found in runs.items()]
    report.table("Slots", WASTE, lines, key=f"even {load:.2f} waste")


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
