"""How many answers a minute one, two and three replicas give, before the same three model servers.

Always as many readers as keep all slots busy. Replicas are taken away from a running stack. The CPU time of
each process says where the next bottleneck is.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from time import monotonic

import psutil

from devstack.child import in_thread
from devstack.part import Part
from devstack.stack import Shape, Stack, stack
from loadtests.bench import Report, arguments, percentile
from loadtests.durability.crew import Crew, client, reader_keys
from loadtests.durability.instances import MODEL, like_a_gpu
from loadtests.durability.questions import difference
from loadtests.durability.reader import Outcome, Reading

INSTANCES, SLOTS = 3, 12
READERS = 60
LENGTHS = (80, 120)
WARM_S, MEASURED_S = 5.0, 30.0


def cpu_s(part: Part) -> float:
    """CPU time of a part's processes, those that have ended included."""
    own = psutil.Process(part.pid)
    times = [own.cpu_times(), *(child.cpu_times() for child in own.children(recursive=True))]
    return float(sum(one.user + one.system + one.children_user + one.children_system for one in times))


async def measured(up: Stack, crew: Crew, seconds: float) -> tuple[list[Reading], Mapping[str, float], float]:
    """Answers that ended in a while, CPU seconds of each part, and that of ourselves."""
    await asyncio.sleep(WARM_S)
    parts = [part for part in up.parts.values() if part.is_up]
    before, own, began = {part.name: cpu_s(part) for part in parts}, psutil.Process().cpu_times(), monotonic()
    await asyncio.sleep(seconds)
    spent = {part.name: cpu_s(part) - before[part.name] for part in parts}
    after = psutil.Process().cpu_times()
    ended = [one for one in crew.readings if one.outcome is not Outcome.OPEN and one.ended_s > began]
    return ended, spent, after.user + after.system - own.user - own.system


async def bench(args: argparse.Namespace) -> int:
    report = Report("bench_scaling")
    seconds = 10.0 if args.quick else MEASURED_S
    shape = Shape(
        replicas=args.replicas, workers=args.workers, instances=INSTANCES, slots=SLOTS,
        knobs=like_a_gpu(), model=MODEL,
    )  # fmt: skip
    rates, costs = [], []
    async with in_thread(stack(shape)) as up, client() as session:
        keys = await reader_keys(up.database, READERS)
        replicas = up.named("api")
        for count in range(len(replicas), 0, -1):
            crew = Crew(session, up.front, keys, LENGTHS, spread_s=2.0, seed=count)
            crew.begin()
            ended, spent, own_s = await measured(up, crew, seconds)
            await crew.finish(within_s=60)
            whole = [
                one for one in ended if one.outcome is Outcome.DONE and not difference(one.question, one.text)
            ]
            first_s = [one.arrivals[0] - one.asked_s for one in whole]
            rates.append(
                (
                    count,
                    len(whole) / seconds * 60,
                    len(ended) - len(whole),
                    percentile(first_s, 50),
                    percentile(first_s, 99),
                )
            )
            costs.append((count, *_by_kind(spent, len(whole)), own_s / max(len(whole), 1) * 1000))
            await asyncio.to_thread(replicas[count - 1].stop)
    columns = ("replicas", "answers a minute", "others", "first token p50, s", "p99, s")
    report.table(f"Scaling, {os.cpu_count()} CPUs for everything", columns, sorted(rates), key="rates")
    kinds = ("replicas", *_KINDS, "readers (this bench)")
    report.table("CPU, ms an answer", kinds, sorted(costs), key="cpu_ms")
    report.bar("answers that are not whole", sum(row[2] for row in rates), at_most=0)
    return report.finish(args)


_KINDS = ("api", "nginx", "redis", "postgres", "chroma", "embedder", "ollama")


def _by_kind(spent: Mapping[str, float], answers: int) -> list[float]:
    """Of all parts of a kind together."""
    return [
        sum(cost for name, cost in spent.items() if name.split("-")[0] == kind) / max(answers, 1) * 1000
        for kind in _KINDS
    ]


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--replicas", type=int, default=3, help="of the API, at most")
    parser.add_argument("--workers", type=int, default=1, help="processes of each replica")


def main(argv: Sequence[str] | None = None) -> int:
    """Run; the exit status is 1 when `--check` finds a bar missed."""
    return asyncio.run(bench(arguments("Answers a minute by replicas.", argv, more=_options)))


if __name__ == "__main__":
    sys.exit(main())
