"""Nobody loses an answer: hundreds of streams through NGINX while parts of the stack are broken, one by one.

Readers are `--readers` people, each with a key of its own, who ask one question after the other through NGINX
and follow the answer as the page does (`Last-Event-ID`, growing waits). Each question has an answer that no
other has (the emulator counts from a number of its own), so a token that is lost, doubled or somebody else's
shows. Model servers are emulated: three with 300 slots, which say 750 tokens a second in all: so many two CPU
cores bear beside the whole stack. With 500 readers that is three tokens in two seconds for each, far slower
than a GPU: how long a stream may be silent would be learned as for a CPU, so it is set to 6 s here
(LIBRI_ENGINE__INTER_TOKEN_TIMEOUT_S).

`--faults kill-replica,restart-redis` runs those alone. A pause is the longest wait between two pieces of text
of one answer that was flowing when the fault began. An answer that goes on elsewhere says its last words
again, three tokens here: at three in two seconds that is 2.7 s of each pause, the next token counted.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from typing import Any

from devstack.child import in_thread
from devstack.stack import Shape, Stack, stack
from loadtests.bench import Report, arguments
from loadtests.durability.crew import Crew, client, reader_keys
from loadtests.durability.faults import FAULTS, Fault, Scene
from loadtests.durability.instances import MODEL, paced
from loadtests.durability.pauses import Window, pauses
from loadtests.durability.peer import kill_of_a_worker
from loadtests.durability.reader import Reading
from loadtests.durability.truth import Emulators, generations, kept_turns
from loadtests.durability.verdict import UNCUT, Verdict, judged

INSTANCES, SLOTS = 3, 300
TOKENS_PER_S = 750.0
"""Of all answers together."""
MOST_TOKENS_PER_S = 7.5
"""Of one: an answer stays below `LIBRI_ENGINE__MAX_TOKENS`."""
LASTS_S, QUICK_LASTS_S = (120, 160), (40, 60)
SETTLES_S, LAST_S = 10.0, 2.0
"""After a fault is mended, until the next one; what begins in the last seconds of it is the next one's."""
GAP_S = "6"


def shape(args: argparse.Namespace) -> Shape:
    """The stack that is broken."""
    return Shape(
        replicas=args.replicas,
        workers=args.workers,
        instances=INSTANCES,
        slots=SLOTS,
        knobs=paced(args.pace),
        model=MODEL,
        more={"LIBRI_ENGINE__INTER_TOKEN_TIMEOUT_S": GAP_S},
    )


async def bench(args: argparse.Namespace) -> int:
    """All of it."""
    report = Report("bench_durability")
    if args.litellm is not None:
        with tempfile.TemporaryDirectory(prefix="litellm-") as scratch:
            await kill_of_a_worker(report, Path(scratch), args.litellm)
    async with in_thread(stack(shape(args), args.folder)) as up, client() as session:
        keys = await reader_keys(up.database, args.readers)
        shortest_s, longest_s = QUICK_LASTS_S if args.quick else LASTS_S
        lengths = round(shortest_s * args.pace), round(longest_s * args.pace)
        crew = Crew(session, up.front, keys, lengths, spread_s=shortest_s)
        scene = Scene(up, Emulators(session, up.controls))
        crew.begin()
        await _until_all_flow(report, crew)
        windows = [await _one(report, crew, scene, fault) for fault in _wanted(args, up)]
        await crew.finish(within_s=longest_s + 60)
        said = generations(await scene.emulators.requests())
        verdict = judged(crew.readings, await kept_turns(up.database), said)
    _tell_pauses(report, crew.readings, windows, least=min(500, 0.9 * args.readers))
    _tell_verdict(report, verdict)
    report.record("failures", [_failure(one, windows) for one in crew.readings if not one.is_whole])
    return report.finish(args)


async def _until_all_flow(report: Report, crew: Crew) -> None:
    """Nearly all: some are between two questions at any moment."""
    enough, deadline = 0.93 * len(crew.keys), monotonic() + 400
    while len(crew.flowing()) < enough:
        if monotonic() > deadline:
            await crew.finish(within_s=0)
            raise SystemExit(f"only {len(crew.flowing())} of {len(crew.keys)} answers flow")
        await asyncio.sleep(0.5)
    report.say(f"{len(crew.flowing())} answers flow")


def _wanted(args: argparse.Namespace, up: Stack) -> list[Fault]:
    names = args.faults.split(",") if args.faults else [fault.name for fault in FAULTS]
    known = {fault.name: fault for fault in FAULTS}
    if unknown := set(names) - set(known):
        raise SystemExit(f"no such fault: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    there = {*up.parts, "", *(["worker"] if up.named("api")[0].workers() else [])}
    return [known[name] for name in names if known[name].needs in there]


async def _one(report: Report, crew: Crew, scene: Scene, fault: Fault) -> tuple[Fault, Window]:
    began = monotonic()
    report.say(f"{fault.said}, with {len(crew.flowing())} answers flowing")
    await fault.happens(scene)
    await asyncio.sleep(SETTLES_S)
    return fault, Window(fault.name, began, monotonic() - LAST_S)


def _tell_pauses(
    report: Report, readings: Sequence[Reading], windows: Sequence[tuple[Fault, Window]], least: float
) -> None:
    rows = []
    for fault, window in windows:
        seen = pauses(readings, window)
        rows.append((fault.said, seen.in_flight, seen.came_back, seen.at(50), seen.at(99), seen.at(100)))
        report.bar(f"answers in flight at: {fault.said}", seen.in_flight, at_least=least)
        if fault.most_s is not None:
            report.bar(f"pause p99, s: {fault.said}", seen.at(99), at_most=fault.most_s)
        report.record(f"worst pauses: {fault.name}", [asdict(one) for one in seen.worst])
    columns = ("fault", "in flight", "connected again", "p50", "p99", "longest")
    report.table("The longest pause that a reader saw, s", columns, rows, key="pauses_s")


def _tell_verdict(report: Report, verdict: Verdict) -> None:
    rows = [
        ("answers", verdict.answers),
        ("lost", _told(verdict.lost)),
        ("wrong texts", len(verdict.wrong)),
        ("tokens missing", verdict.missing),
        ("tokens doubled or foreign", verdict.doubled),
        ("answers degraded", _told(verdict.degraded)),
        ("not one turn in the history", len(verdict.not_one_turn)),
        ("of which none", sum(not count for count in verdict.not_one_turn.values())),
        ("turns with another text or state", verdict.wrong_turns),
        ("without a turn, and told so", verdict.unkept),
        ("answered from the first word not once", verdict.more_than_one or 0),
        (f"begun anew, of which at most {UNCUT} tokens had been said", verdict.began_anew),
        ("gone on with elsewhere", verdict.continued),
        ("tokens said twice by model servers", verdict.extra_tokens),
        ("questions sent again after a refusal", verdict.asked_again),
        ("texts taken back", verdict.replaced),
    ]
    report.table("What became of the answers", ("what", "how many"), rows, key="verdict")
    report.bar("answers lost", verdict.lost.total(), at_most=0)
    report.bar("tokens missing", verdict.missing, at_most=0)
    report.bar("tokens doubled or foreign", verdict.doubled, at_most=0)
    report.bar("answers without exactly one turn", len(verdict.not_one_turn), at_most=0)
    report.bar("turns with another text or state", verdict.wrong_turns, at_most=0)
    report.bar("questions not answered exactly once", len(verdict.more_than_one), at_most=0)


def _failure(reading: Reading, windows: Sequence[tuple[Fault, Window]]) -> dict[str, Any]:
    """What somebody needs who looks for the cause in the logs; seconds are from the question on."""
    during = [w.name for _, w in windows if w.began_s <= reading.ended_s and reading.asked_s <= w.ended_s]
    return {
        "run": reading.run,
        "ended": f"{reading.outcome} {reading.code}",
        "degraded": reading.degraded,
        "words": len(reading.text.split()),
        "of": reading.question.tokens,
        "during": during,
        "ended_s": round(reading.ended_s - reading.asked_s, 2),
        "came_back_s": [round(at - reading.asked_s, 2) for at in reading.came_back],
        "refused": [(round(at - reading.asked_s, 2), status, code) for at, status, code in reading.refusals],
    }


def _told(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "0"


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--faults", default="", metavar="NAMES", help="these alone, with commas between them")
    parser.add_argument("--readers", type=int, default=0, help="at once; default 560, quick: 60")
    parser.add_argument("--replicas", type=int, default=3, help="of the API")
    parser.add_argument("--workers", type=int, default=2, help="processes of each replica")
    parser.add_argument("--pace", type=float, help="tokens a second of each answer; default: 750 in all")
    parser.add_argument(
        "--litellm",
        type=Path,
        metavar="VENV",
        help="a virtual environment with litellm[proxy], to see what its readers lose",
    )
    parser.add_argument("--folder", type=Path, default=None, help="of logs, kept; default: a temporary one")


def main(argv: Sequence[str] | None = None) -> int:
    """Run; the exit status is 1 when `--check` finds a bar missed."""
    args = arguments("Faults under load.", argv, more=_options)
    args.readers = args.readers or (60 if args.quick else 560)
    args.pace = args.pace or min(TOKENS_PER_S / args.readers, MOST_TOKENS_PER_S)
    return asyncio.run(bench(args))


if __name__ == "__main__":
    sys.exit(main())
