"""What a refusal costs under overload: three times as many questions as can be answered, at the API.

Readers come at even intervals, each a stranger with a question of its own. Whoever would wait too long is
refused; measured is the time from its request to its terminal event, over a raw socket, and what the process
pays: CPU time an answer and a refusal together.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from loadtests.bench import Report, arguments, percentile
from loadtests.bench_overhead import ingest
from loadtests.fast_engine import Load
from loadtests.token_load import Target, application, cpu_of, engine

SLOTS, OVERLOAD, MAX_WAIT_S = 4, 3.0, 8.0
ANSWER = Load(50, 20)
"""One second long."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one reader got: how long it took, and whether anything was searched for it."""

    refused: bool
    took_s: float
    searched: bool


async def ask(target: Target, number: int) -> Outcome:
    """One question, read to its end."""
    address, now = urlsplit(target.url), asyncio.get_running_loop().time
    body = target.body(ANSWER, number)
    head = (
        f"POST {target.path} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=2**20)
    began, text = now(), b""
    try:
        writer.write(head.encode() + body)
        async with asyncio.timeout(120):
            while data := await reader.read(2**16):
                text += data
                if b"event: error" in text or b"event: done" in text:
                    break
        return Outcome(b"pool_full" in text, now() - began, b"event: sources" in text)
    finally:
        writer.close()


async def crowd(target: Target, seconds: float) -> list[Outcome]:
    """Three times as many readers as can be answered."""
    each_s = ANSWER.tokens * ANSWER.gap_ms / 1000 / SLOTS / OVERLOAD
    waiting = []
    for number in range(int(seconds / each_s)):
        waiting.append(asyncio.ensure_future(ask(target, number)))
        await asyncio.sleep(each_s)
    return await asyncio.gather(*waiting)


async def bench(args: argparse.Namespace) -> int:
    """All of it."""
    report = Report("bench_refusals")
    more = {"OLLAMA_NUM_PARALLEL": str(SLOTS), "LIBRI_ENGINE__MAX_WAIT_S": str(MAX_WAIT_S)}
    with tempfile.TemporaryDirectory(prefix="refusals-") as name:
        await ingest(Path(name), Path(name) / "data")
        async with (
            engine([ANSWER]) as url,
            application(Path(name) / "data", url, more=more) as (target, running),
        ):
            cpu_s = cpu_of(running)
            began_s = cpu_s()
            found = await crowd(target, 20 if args.quick else 60)
            spent_s = cpu_s() - began_s
    took_ms = [one.took_s * 1000 for one in found if one.refused]
    searched = sum(one.searched for one in found if one.refused)
    row = (len(found), len(took_ms), searched, *(percentile(took_ms, q) for q in (50, 95, 99)),
           spent_s * 1000 / len(found))  # fmt: skip
    columns = (
        "asked",
        "refused",
        "of them searched for",
        "p50, ms",
        "p95, ms",
        "p99, ms",
        "CPU a reader, ms",
    )
    report.table(f"Refusals at {OVERLOAD:.0f} x overload, {SLOTS} slots", columns, [row], key="refusals")
    report.bar("refusal at the API, p50, ms", percentile(took_ms, 50), at_most=20.0)
    return report.finish(args)


def main(argv: Sequence[str] | None = None) -> int:
    """Run; the exit status is 1 when `--check` finds a bar missed."""
    return asyncio.run(bench(arguments("What a refusal costs under overload.", argv)))


if __name__ == "__main__":
    sys.exit(main())
