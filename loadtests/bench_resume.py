"""Answers that are cut at a random token and resumed through another replica: whole, and word by word equal.

Readers speak to the replicas themselves, so that it is known which one each connection reaches: never the one
it was cut from. Then what is asked for with ids that are no ids, of other people, of the end, or long gone.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from collections.abc import Callable, Sequence

import aiohttp

from devstack.child import in_thread
from devstack.stack import Shape, Stack, stack
from loadtests.bench import Report, arguments, percentile
from loadtests.durability.crew import client, reader_keys, signed
from loadtests.durability.instances import MODEL, paced
from loadtests.durability.questions import Question, difference
from loadtests.durability.reader import Follower, Outcome, Reading

RUNS = 200
TOGETHER = 25
TOKENS, TOKENS_PER_S = (40, 80), 20.0
CUTS = 3
"""Times that each answer is cut, at most."""


async def cut_and_resumed(
    session: aiohttp.ClientSession, replicas: Sequence[str], key: str, number: int
) -> Reading:
    """One answer, through a new replica after each cut."""
    chance = random.Random(number)
    question = Question(number, chance.randint(*TOKENS))
    cuts = sorted(chance.sample(range(1, question.tokens), chance.randint(1, CUTS)))
    at = chance.randrange(len(replicas))
    reading = Reading(question, number)
    follower = Follower(
        session,
        lambda connection: replicas[(at + connection) % len(replicas)],
        reading,
        signed(key),
        until=_cut(cuts),
    )
    return await follower.follow()


def _cut(places: list[int]) -> Callable[[Reading], bool]:
    left = list(places)

    def until(reading: Reading) -> bool:
        if not left or len(reading.text.split()) < left[0]:
            return False
        left.pop(0)
        return True

    return until


async def ids(session: aiohttp.ClientSession, up: Stack, keys: Sequence[str]) -> list[tuple[str, int, int]]:
    """What is answered to ids as they should not be: said, status, the right one."""
    replicas = [part.address for part in up.named("api")]
    reading = Reading(Question(RUNS + 1, 20), 0)
    await Follower(session, lambda _: replicas[0], reading, signed(keys[0])).follow()
    last = await _last_id(session, replicas[0], reading.run, keys[0])

    async def status(run: str, event_id: str, key: str) -> int:
        headers = signed(key) | {"Last-Event-ID": event_id}
        url = f"{replicas[-1]}/api/v1/runs/{run}/events"
        async with session.get(url, headers=headers) as answer:
            return answer.status

    asked = [
        ("malformed: ten", "ten", reading.run, keys[0], 400),
        ("malformed: 1-02", "1-02", reading.run, keys[0], 400),
        ("malformed: 1-2-3", "1-2-3", reading.run, keys[0], 400),
        ("of another person's run", "1-2", reading.run, keys[1], 404),
        ("of no run", "1-2", "0" * 32, keys[0], 404),
        ("never written", "9-999999", reading.run, keys[0], 404),
        ("the terminal event's", last, reading.run, keys[0], 204),
    ]
    return [(said, await status(run, event, key), right) for said, event, run, key, right in asked]


async def _last_id(session: aiohttp.ClientSession, replica: str, run: str, key: str) -> str:
    async with session.get(f"{replica}/api/v1/runs/{run}/events", headers=signed(key)) as answer:
        text = await answer.text()
    return [line[4:] for line in text.splitlines() if line.startswith("id: ")][-1]


async def bench(args: argparse.Namespace) -> int:
    report = Report("bench_resume")
    shape = Shape(
        replicas=args.replicas, workers=args.workers, instances=1, slots=2 * TOGETHER,
        knobs=paced(TOKENS_PER_S), model=MODEL,
    )  # fmt: skip
    async with in_thread(stack(shape)) as up, client() as session:
        keys = await reader_keys(up.database, TOGETHER)
        replicas = [part.address for part in up.named("api")]
        room = asyncio.Semaphore(TOGETHER)

        async def one(number: int) -> Reading:
            async with room:
                return await cut_and_resumed(session, replicas, keys[number % TOGETHER], number)

        readings = await asyncio.gather(*map(one, range(args.runs)))
        answers = await ids(session, up, keys)
    _judge(report, readings, answers)
    return report.finish(args)


def _judge(report: Report, readings: Sequence[Reading], answers: Sequence[tuple[str, int, int]]) -> None:
    others = [
        one for one in readings if one.outcome is not Outcome.DONE or difference(one.question, one.text)
    ]
    whole = len(readings) - len(others)
    cuts = sum(len(one.came_back) for one in readings)
    waits = [
        max(b - a for a, b in zip(one.arrivals, one.arrivals[1:], strict=False))
        for one in readings
        if len(one.arrivals) > 1
    ]
    rows = [
        ("runs", len(readings)),
        ("cuts, each resumed through another replica", cuts),
        ("whole and equal", whole),
        (
            "how the others ended",
            ", ".join(sorted({f"{one.outcome} {one.code}" for one in others})) or "none",
        ),
        ("longest pause, the reader's own wait of 0.5 to 1 s included, s: p50", percentile(waits, 50)),
        ("p99", percentile(waits, 99)),
    ]
    for one in others[:5]:
        lacks = difference(one.question, one.text)
        report.say(f"run {one.run} {one.degraded} lacks or doubles: {lacks} {one.text[:200]}")
    report.table("Cut and resumed", ("what", "how many"), rows, key="resume")
    report.table("Ids", ("what", "status", "as designed"), answers, key="ids")
    report.bar("runs whole and equal", whole, at_least=len(readings))
    report.bar(
        "ids answered as designed", sum(got == right for _, got, right in answers), at_least=len(answers)
    )


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=0, help=f"default {RUNS}, quick: 30")
    parser.add_argument("--replicas", type=int, default=3, help="of the API")
    parser.add_argument("--workers", type=int, default=2, help="processes of each replica")


def main(argv: Sequence[str] | None = None) -> int:
    """Run; the exit status is 1 when `--check` finds a bar missed."""
    args = arguments("Cut and resumed elsewhere.", argv, more=_options)
    args.runs = args.runs or (30 if args.quick else RUNS)
    return asyncio.run(bench(args))


if __name__ == "__main__":
    sys.exit(main())
