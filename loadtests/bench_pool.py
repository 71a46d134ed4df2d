"""How well many instances act as one, beside the balancers of the field.

    python -m loadtests.bench_pool --data DIR --scenarios even,unequal,fair,honest

Client processes replay a real trace of arrivals against emulated machines (a process each). What idled while
somebody waited is read from the emulators, not from the pools. First the same arrivals are played in
simulated time, where nothing is ever late: that is what each policy could do at best.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from devstack import nginx, redis
from loadtests.bench import Report, arguments, data_file
from loadtests.pool import cost as slot_cost
from loadtests.pool.arrivals import Arrival, Row, all_at_once, asked, filled, one_greedy, read_trace
from loadtests.pool.attempts import Attempt
from loadtests.pool.choices import AtRandom, Choice, FreeSlot, InTurns, LeastLoaded
from loadtests.pool.faults import FAULTS
from loadtests.pool.fleet import fleet
from loadtests.pool.honesty import kept, naive_kept
from loadtests.pool.machines import MODEL, Machine, most_per_s, seconds_of
from loadtests.pool.rounds import COLUMNS, played
from loadtests.pool.shares import jain_of_backlogged, waits_beside_ideal
from loadtests.pool.stage import PATIENCE_S, WARM_UP, Contestant, Run, measured, simulated, simulated_ours
from loadtests.pool.tabled import play_table

SKIPPED_ROWS = 5_000
"""The trace begins with a lull and a burst; from here on its rate is steady."""
LONGEST_WAIT_S = 600.0
"""As in the application's settings; beyond full load it is readers' patience."""
SIMULATED_S = 120.0
"""Of arrivals in simulated time; `HONEST_S` for announced waits, which are few."""
HONEST_S = 180.0
OTHER_MODEL = "qwen2.5:14b"

OURS = Contestant("ours, 6 processes", "loadtests.pool.contenders:ours", needs_redis=True)
POOLS = (Contestant("ours, one process", "loadtests.pool.contenders:ours", processes=1), OURS)
"""What is ours."""
FIELD = (
    Contestant("naive least loaded", "loadtests.pool.contenders:naive"),
    Contestant("round robin", "loadtests.pool.contenders:round_robin"),
    Contestant("random", "loadtests.pool.contenders:random_choice"),
    Contestant("nginx least_conn", "loadtests.pool.contenders:nginx", needs_front=True),
)
SPEED = ("pool", "asked", "done", "answers/s", "tokens/s", "good/s", "first p50", "p95", "p99")
SLOTS = ("pool", "busy %", "could serve %", "one waits %", "over", "inner wait", "late p99", "lost %")
"""Idle slot-time while somebody waits: as much as the waiters could have used; all of it."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What every scenario needs."""

    report: Report
    rows: Sequence[Row]
    seconds: float
    speed: float
    only: str = ""

    def among(self, contestants: Sequence[Contestant]) -> list[Contestant]:
        """Those that were asked for and can be run here."""
        return [
            c
            for c in contestants
            if self.only in c.name
            and (redis.program() or not c.needs_redis)
            and (nginx.program() or not c.needs_front)
        ]


def policies() -> list[tuple[str, Choice, int]]:
    """Name, choice and number of processes that know nothing of each other, fresh each time."""
    return [
        ("one queue before all", FreeSlot(), 1),
        ("least loaded, one count", LeastLoaded(random.Random(1)), 1),
        ("least loaded, 6 counts", LeastLoaded(random.Random(1)), 6),
        ("round robin", InTurns(), 1),
        ("random", AtRandom(random.Random(1)), 1),
    ]


def even(bench: Bench, load: float) -> None:
    """Scenario 1: three equal machines, open loop, real lengths and arrivals."""
    machines = [Machine(name, slots=4, speed=bench.speed) for name in "abc"]
    arrivals = arrivals_for(bench, machines, load)
    most_per_s = len(arrivals) / bench.seconds / load
    max_wait_s = PATIENCE_S if load > 1 else LONGEST_WAIT_S
    title = f"3 x 4 slots, {load:.0%} load, {bench.seconds:.0f} s, {len(arrivals)} requests"
    runs = compare(bench, title, f"even {load:.2f}", machines, arrivals, max_wait_s=max_wait_s)
    if (run := runs.get(OURS.name)) is None:
        return
    idle, over = run.figures.idle, run.figures.over_admitted
    bench.report.bar(
        f"{load:.0%}: slot-time idle beside waiters, %", 100 * idle.usable / idle.total, at_most=1
    )
    bench.report.bar(f"{load:.0%}: over-admissions", over, at_most=0)
    if load >= 1:
        good = run.figures.good_per_s / most_per_s
        bench.report.bar(f"{load:.0%}: goodput, of what can be done", good, at_least=0.9)
        bench.report.bar(f"{load:.0%}: refusals without a time to return", run.unannounced, at_most=0)
    if run.figures.outcomes["pool_full"]:
        bench.report.bar(f"{load:.0%}: refused within, p99 s", run.figures.refused_s, at_most=1)


def unequal(bench: Bench) -> None:
    """Scenario 2: speeds 1 : 1 : 0.2, one machine with one slot, two models; more than can be served."""
    machines = [
        Machine("wide", slots=4, speed=bench.speed, models=(MODEL,)),
        Machine("narrow", slots=1, speed=bench.speed, models=(MODEL, OTHER_MODEL)),
        Machine("slow", slots=4, speed=0.2 * bench.speed, models=(OTHER_MODEL,)),
    ]
    arrivals = arrivals_for(bench, machines, 1.2, models=(MODEL, MODEL, MODEL, OTHER_MODEL))
    optimum = fluid_optimum(machines, arrivals, bench.seconds)
    bench.report.say(f"Fluid optimum: {optimum:.2f} answers/s")
    bench.report.record("unequal optimum answers/s", optimum)
    title = f"Unequal machines, two models, 120% load, {bench.seconds:.0f} s, {len(arrivals)} requests"
    runs = compare(bench, title, "unequal", machines, arrivals, front=False)
    if run := runs.get(OURS.name):
        share = run.figures.answers_per_s / optimum
        bench.report.bar("unequal: throughput, of the fluid optimum", share, at_least=0.95)


def fair(bench: Bench) -> None:
    """Scenario 3: one subject sends 100 at once, nine send one every few seconds; then ten equal ones.

    In simulated time, over the slots and the queue of the application.
    """
    machines = [Machine(name, slots=4, speed=bench.speed) for name in "abc"]
    slots = sum(machine.slots for machine in machines)
    rows = bench.rows[SKIPPED_ROWS:]
    greedy = one_greedy(rows, MODEL, at_once=100, others=9, every_s=8.0 / bench.speed, seconds=SIMULATED_S)
    found = asyncio.run(play_table(machines, greedy))
    waits = waits_beside_ideal(found.records, found.attempts, slots, lambda s: s.startswith("modest"))
    equal = asyncio.run(play_table(machines, all_at_once(rows, MODEL, subjects=10, each=60)))
    index = jain_of_backlogged(equal.records, equal.attempts)
    bench.report.bar("nine's p95 wait, times the ideal", waits.real_s / waits.ideal_s, at_most=1.15)
    bench.report.bar("Jain index of equal subjects", index, at_least=0.98)
    columns = ("modest p95 wait", "ideal", "ratio", "Jain, equal subjects")
    line = (waits.real_s, waits.ideal_s, waits.real_s / waits.ideal_s, index)
    bench.report.table("Simulated: one greedy subject and nine modest ones", columns, [line], key="fair")


def honest(bench: Bench) -> None:
    """Scenario 4: whether those who wait, at 90 % load, wait as long as they were told; simulated time."""
    machines = [Machine(name, slots=4, speed=bench.speed) for name in "abc"]
    slots = sum(machine.slots for machine in machines)
    rows = filled(bench.rows, lambda r: seconds_of(machines, r.prompt_tokens, r.output_tokens), 0.9,
                  HONEST_S, skip=SKIPPED_ROWS)  # fmt: skip
    found = asyncio.run(play_table(machines, asked(rows, random.Random(1), models=(MODEL,))))
    late = HONEST_S * WARM_UP
    told = kept([r for r in found.records if r.arrived_s > late])
    naive = naive_kept(found.records, slots, mean_held_s(found.attempts))
    bench.report.bar("waits as told, share", told.within, at_least=0.85)
    bench.report.bar("waits as told, share, at most", told.within, at_most=0.95)
    bench.report.bar("waits over 1.5 x told, share", told.late, at_most=0.05)
    columns = ("waiters", "as told %", "> 1.5 x told %", "same, naive %")
    line = (told.waiters, told.within * 100, told.late * 100, naive.late * 100)
    bench.report.table("Simulated: waits as told, 90% load", columns, [line], key="honest")


def compare(
    bench: Bench,
    title: str,
    key: str,
    machines: Sequence[Machine],
    arrivals: Sequence[Arrival],
    *,
    front: bool = True,
    max_wait_s: float = LONGEST_WAIT_S,
) -> dict[str, Run]:
    """The policies in simulated time, then all contestants in real time; the runs of those."""
    if not bench.only:
        ideal = {"our queue": simulated_ours(machines, arrivals, bench.seconds)} | {
            name: simulated(choose, processes, machines, arrivals, bench.seconds)
            for name, choose, processes in policies()
        }
        tables(bench.report, f"Simulated: {title}", f"simulated {key}", ideal)
    runs: dict[str, Run] = {}
    with fleet(machines) as running:
        for contestant in bench.among((*POOLS, *FIELD)):
            if contestant.needs_front and not front:
                continue
            runs[contestant.name] = run = measured(
                contestant, running, arrivals, bench.seconds, max_wait_s=max_wait_s
            )
            bench.report.say(f"{contestant.name}: {dict(run.figures.outcomes)}")
    tables(bench.report, title, key, runs)
    return runs


def tables(report: Report, title: str, key: str, runs: Mapping[str, Run]) -> None:
    """The two tables of a comparison."""
    report.table(title, SPEED, [speed_row(*run) for run in runs.items()], key=f"{key} speed")
    report.table("Slots", SLOTS, [slots_row(*run) for run in runs.items()], key=f"{key} slots")


def speed_row(name: str, run: Run) -> tuple[object, ...]:
    """What readers got."""
    found = run.figures
    rates = (found.answers_per_s, found.tokens_per_s, found.good_per_s)
    return name, found.asked, found.outcomes["done"], *rates, *found.first_s


def slots_row(name: str, run: Run) -> tuple[object, ...]:
    """What the machines were left with, in shares of all slot-time of the window."""
    found, idle = run.figures, run.figures.idle
    shares = [100 * part / idle.total for part in (idle.busy, idle.usable, idle.beside_waiters)]
    return name, *shares, found.over_admitted, found.inner_wait_s, found.late_s, 100 * run.lost


def arrivals_for(
    bench: Bench, machines: Sequence[Machine], load: float, *, models: Sequence[str] = (MODEL,)
) -> list[Arrival]:
    """The trace at `load` of what the machines can do together; each model is drawn from `models`."""

    def cost_s(row: Row) -> float:
        return seconds_of(machines, row.prompt_tokens, row.output_tokens)

    rows = filled(bench.rows, cost_s, load, bench.seconds, skip=SKIPPED_ROWS)
    return asked(rows, random.Random(1), models=models)


def fluid_optimum(machines: Sequence[Machine], arrivals: Sequence[Arrival], seconds: float) -> float:
    """The most answers a second, were requests a fluid and all of mean length."""
    per_s = {model: count / seconds for model, count in Counter(a.model for a in arrivals).items()}
    lengths = [
        statistics.fmean(getattr(a, name) for a in arrivals) for name in ("prompt_tokens", "output_tokens")
    ]
    return most_per_s(machines, per_s, *lengths)


def mean_held_s(attempts: Sequence[Attempt]) -> float:
    """How long an answer holds its slot."""
    return statistics.fmean(
        a.free_s - a.slot_s for a in attempts if a.slot_s is not None and a.free_s is not None
    )


def faults(bench: Bench) -> None:
    """Scenario 5: 200 requests in flight over six processes, and one thing breaks in each round."""
    lines = []
    for fault in FAULTS:
        if bench.only not in fault.name:
            continue
        found = played(fault)
        lines.append((fault.name, *found.row()))
        bench.report.say(f"{fault.name}: {dict(found.errors)}")
        surprising = sum(n for code, n in found.errors.items() if code not in fault.may_fail)
        bench.report.bar(f"{fault.name}: errors seen", surprising, at_most=0)
        bench.report.bar(f"{fault.name}: tokens lost or twice", found.lost + found.twice, at_most=0)
        if fault.may_fail:
            bench.report.bar(f"{fault.name}: without a time to return", found.unannounced, at_most=0)
        else:
            bench.report.bar(f"{fault.name}: tries per request", found.attempts, at_most=1.2)
    bench.report.table(
        "200 requests in flight, 6 processes, 3 x 24 slots", ("fault", *COLUMNS), lines, key="faults"
    )


def cost(bench: Bench) -> None:
    """Scenario 6: acquire and release through Redis, from one process and from six."""
    lines = []
    for processes in (1, 6):
        found = slot_cost.measured(processes=processes, seconds=min(5.0, bench.seconds))
        lines.append((processes, found.p50_ms, found.p99_ms, found.per_s))
        bench.report.bar(f"acquire + release, {processes} at once, p50 ms", found.p50_ms, at_most=1.5)
    columns = ("processes", "p50 ms", "p99 ms", "pairs/s")
    bench.report.table("Acquire + release, 1,000 waiting for another model", columns, lines, key="cost")


SCENARIOS: dict[str, Callable[[Bench], None]] = {
    "even": lambda bench: even(bench, 0.85),
    "full": lambda bench: even(bench, 1.0),
    "over": lambda bench: even(bench, 1.2),
    "unequal": unequal,
    "fair": fair,
    "honest": honest,
    "faults": faults,
    "cost": cost,
}


QUICK = "even,fair,cost"


def _more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scenarios", default="", help=f"of {','.join(SCENARIOS)}; default: all")
    parser.add_argument("--seconds", type=float, default=60.0, help="of arrivals, for each contestant")
    parser.add_argument("--only", default="", help="contestants (or faults) whose name holds this")
    parser.add_argument("--speed", type=float, default=1.0, help="of the machines, times an RTX 4090")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, check."""
    args = arguments("How well many instances act as one.", argv, more=_more)
    report = Report("bench_pool")
    rows = read_trace(data_file(args, "arrivals.csv"))
    bench = Bench(report, rows, args.seconds, args.speed, args.only)
    if args.quick:
        bench = replace(bench, seconds=min(args.seconds, 12.0), only=args.only or OURS.name)
    names = args.scenarios or (QUICK if args.quick else ",".join(SCENARIOS))
    for name in names.split(","):
        SCENARIOS[name](bench)
    return report.finish(args)


if __name__ == "__main__":
    sys.exit(main())
