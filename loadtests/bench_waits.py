"""Honest waits: does the interval that a waiter is told hold? Real arrivals and rules, simulated time.

Per estimator, over all who had to wait: how often the first interval they were told held, how often they
waited more than 1.5 times its high end, and its middle, and how wide it was.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

from backend.pool.eta import Waits
from loadtests.bench import Report, arguments, data_file
from loadtests.pool_waits import Estimator, Outcome, Scene, requests, simulate
from loadtests.waits_by_chance import MonteCarlo, Naive

LEARNED = "with calibration"
TOO_LONG = 1.5


class Unlearned(Waits):
    """The product's intervals as they are before anything is learned."""

    def waited(self, told: tuple[float, float], waited_s: float) -> None:
        pass


MAKERS: dict[str, Callable[[], Estimator]] = {
    "naive": Naive,
    "Monte Carlo": lambda: MonteCarlo(seed=1),
    "without calibration": Unlearned,
    LEARNED: Waits,
}
SCENES = {
    "all subjects alike": Scene(greedy_share=0.06),
    "one subject asks half": Scene(greedy=1, greedy_share=0.5),
    "one instance a fifth as fast": Scene(speeds=(1.0, 1.0, 0.2)),
    "a fifth of the waiters leave": Scene(leaving=0.2),
    "100 % load": Scene(load=1.0),
    "bursts of short answers": Scene(trace="azure_code_2023"),
    "long prompts": Scene(trace="mooncake_conv_2024"),
    "one slot": Scene(speeds=(1.0,), slots=1),
}
COLUMNS = ("estimator", "waiters", "holds", "below", "above", "> 1.5 high", "> 1.5 middle", "relative width")


@dataclass(frozen=True, slots=True)
class WaitRow:
    """What the waiters of one estimator saw; parts of all waiters.

    Attributes:
        relative_width: Median of the interval's width over its middle, in [0, 2].
    """

    estimator: str
    waiters: int
    holds: float
    below: float
    above: float
    beyond_high: float
    beyond_middle: float
    relative_width: float

    @classmethod
    def of(cls, estimator: str, outcomes: Sequence[Outcome]) -> WaitRow:
        return cls(
            estimator,
            len(outcomes),
            holds=fmean(o.low_s <= o.waited_s <= o.high_s for o in outcomes),
            below=fmean(o.waited_s < o.low_s for o in outcomes),
            above=fmean(o.waited_s > o.high_s for o in outcomes),
            beyond_high=fmean(o.waited_s > TOO_LONG * o.high_s for o in outcomes),
            beyond_middle=fmean(o.waited_s > TOO_LONG * (o.low_s + o.high_s) / 2 for o in outcomes),
            relative_width=median(2 * (o.high_s - o.low_s) / (o.high_s + o.low_s) for o in outcomes),
        )

    def cells(self) -> tuple[object, ...]:
        """In the order of `COLUMNS`."""
        return (
            self.estimator,
            self.waiters,
            self.holds,
            self.below,
            self.above,
            self.beyond_high,
            self.beyond_middle,
            self.relative_width,
        )


def replayed(
    arrivals: Path, scene: Scene, makers: dict[str, Callable[[], Estimator]], *, seeds: int, limit: int | None
) -> dict[str, list[Outcome]]:
    """Outcomes of the trace under several draws of who asks where, all of them together."""
    asked = requests(arrivals, scene, limit=limit)
    outcomes: dict[str, list[Outcome]] = {name: [] for name in makers}
    for seed in range(seeds):
        for name, seen in simulate(asked, scene, makers, seed).items():
            outcomes[name] += seen
    return outcomes


def wait_rows(arrivals: Path, *, quick: bool) -> list[WaitRow]:
    """Every estimator at 90 % load; the last one is the product's."""
    outcomes = replayed(arrivals, Scene(), MAKERS, seeds=1 if quick else 5, limit=5000 if quick else None)
    return [WaitRow.of(name, seen) for name, seen in outcomes.items()]


def scene_rows(arrivals: Path, *, quick: bool) -> list[WaitRow]:
    """The product's under other circumstances."""
    rows = []
    for name, scene in SCENES.items():
        limit = 3000 if quick or scene.slots == 1 else None
        outcomes = replayed(arrivals, scene, {LEARNED: Waits}, seeds=1 if quick else 3, limit=limit)
        rows.append(WaitRow.of(name, outcomes[LEARNED]))
    return rows


def judge(report: Report, rows: Sequence[WaitRow]) -> None:
    """The table, and the bars on its last row."""
    report.table("Honest waits at 90 % load", COLUMNS, [row.cells() for row in rows], key="waits")
    learned = rows[-1]
    report.bar("the interval holds for", learned.holds, at_least=0.85)
    report.bar("the interval holds for, at most", learned.holds, at_most=0.95)
    report.bar("waited more than 1.5 x the high end", learned.beyond_high, at_most=0.05)
    report.bar("median relative width", learned.relative_width, at_most=1.8)


def main(argv: Sequence[str] | None = None) -> int:
    """Run, print, and judge."""
    args = arguments(__doc__ or "", argv)
    report = Report("bench_waits")
    arrivals = data_file(args, "arrivals.csv")
    judge(report, wait_rows(arrivals, quick=args.quick))
    others = scene_rows(arrivals, quick=args.quick)
    columns = ("circumstances", *COLUMNS[1:])
    report.table("With calibration, otherwise", columns, [row.cells() for row in others], key="otherwise")
    report.bar("the interval holds for, worst of these", min(row.holds for row in others), at_least=0.85)
    return report.finish(args)


if __name__ == "__main__":
    sys.exit(main())
