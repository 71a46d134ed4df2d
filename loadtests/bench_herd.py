"""Two hundred people ask the same question within a second: one generation, two hundred streams.

Each has a key of its own, all go through NGINX, and the model server takes more than a second to read the
prompt. One of them stops in mid-answer; the others must not notice.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import aiohttp

from devstack.child import in_thread
from devstack.stack import Shape, Stack, stack
from loadtests.bench import Report, arguments, percentile
from loadtests.durability.crew import client, reader_keys, signed
from loadtests.durability.instances import MODEL, paced
from loadtests.durability.questions import Question, difference
from loadtests.durability.reader import Follower, Outcome, Reading
from loadtests.durability.truth import Emulators, generations

READERS = 200
WITHIN_S = 1.0
TOKENS, TOKENS_PER_S = 100, 10.0
PREFILL_TPS = 120.0
"""A prompt of some 700 tokens takes about six seconds: two CPUs take three to let two hundred in."""
STOPS_AFTER = 30
"""Tokens that the one who stops has read."""


def shape(args: argparse.Namespace) -> Shape:
    knobs = paced(TOKENS_PER_S, prefill_tps=PREFILL_TPS)
    return Shape(replicas=args.replicas, workers=args.workers, instances=1, slots=4, knobs=knobs, model=MODEL)


async def herd(up: Stack, session: aiohttp.ClientSession, question: Question, readers: int) -> list[Reading]:
    """All of them; the last one stops."""
    keys = await reader_keys(up.database, readers)
    readings = [Reading(question, n) for n in range(readers)]

    async def read(n: int) -> None:
        await asyncio.sleep(random.random() * WITHIN_S)
        follower = Follower(session, lambda _: up.front, readings[n], signed(keys[n]))
        await follower.follow()

    tasks = [asyncio.ensure_future(read(n)) for n in range(readers)]
    await _stop(up, session, readings[-1], keys[-1])
    await asyncio.gather(*tasks)
    return readings


async def _stop(up: Stack, session: aiohttp.ClientSession, reading: Reading, key: str) -> None:
    while len(reading.text.split()) < STOPS_AFTER:
        if reading.outcome is not Outcome.OPEN:
            return
        await asyncio.sleep(0.05)
    async with session.delete(f"{up.front}/api/v1/runs/{reading.run}", headers=signed(key)) as answer:
        answer.raise_for_status()


async def bench(args: argparse.Namespace) -> int:
    """Ask once to warm up, then all at once."""
    report = Report("bench_herd")
    async with in_thread(stack(shape(args), args.folder)) as up, client() as session:
        await Follower(session, lambda _: up.front, Reading(Question(0, 5), 0), signed(up.shape.key)).follow()
        question = Question(1, TOKENS)
        readings = await herd(up, session, question, args.readers)
        said = generations(await Emulators(session, up.controls).requests())
    _judge(report, question, readings, len(said.whole.get(1, ())) + said.continued.get(1, 0))
    return report.finish(args)


def _judge(report: Report, question: Question, readings: Sequence[Reading], generated: int) -> None:
    *others, stopper = readings
    first_s = sorted(reading.arrivals[0] for reading in readings if reading.arrivals)
    behind_ms = [(at - first_s[0]) * 1000 for at in first_s[1:]]
    whole = sum(
        one.outcome is Outcome.DONE and one.code == "stop" and not difference(question, one.text)
        for one in others
    )
    rows = [
        ("readers", len(readings)),
        ("generations at the model servers", generated),
        ("whole and equal texts, of those who did not stop", whole),
        ("who stopped: how it ended", stopper.code),
        ("first token behind the first reader's, ms: p50", percentile(behind_ms, 50)),
        ("p95", percentile(behind_ms, 95)),
        ("longest", max(behind_ms, default=float("nan"))),
        ("connected again", sum(len(one.came_back) for one in readings)),
        ("asked again after a refusal", sum(one.asked_again for one in readings)),
    ]
    report.table("One question by many at once", ("what", "how many"), rows, key="herd")
    report.bar("generations", generated, at_most=1)
    report.bar("whole and equal texts", whole, at_least=len(others))
    report.bar(
        "joiners' first token behind the first reader's, p95, ms", percentile(behind_ms, 95), at_most=50
    )
    report.bar("who stopped was told so", stopper.code == "stopped", at_least=1)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--readers", type=int, default=0, help=f"default {READERS}, quick: 40")
    parser.add_argument("--replicas", type=int, default=3, help="of the API")
    parser.add_argument("--folder", type=Path, default=None, help="of logs, kept; default: a temporary one")
    parser.add_argument("--workers", type=int, default=2, help="processes of each replica")


def main(argv: Sequence[str] | None = None) -> int:
    """Run; the exit status is 1 when `--check` finds a bar missed."""
    args = arguments("One question by two hundred at once.", argv, more=options)
    args.readers = args.readers or (40 if args.quick else READERS)
    return asyncio.run(bench(args))


if __name__ == "__main__":
    sys.exit(main())
