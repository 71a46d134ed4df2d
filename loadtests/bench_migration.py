"""A folder that one embedder made is taken over by another, under load and a kill in the middle.

    python -m loadtests.bench_migration --data DIR [--quick] [--check] [--json FILE]

A folder is made with all-MiniLM-L6-v2; then the server starts with the default embedder while readers ask
questions without a pause. After a third of the passages it is killed, and started again.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from devstack.child import in_thread
from devstack.replica import environment_of, replica
from loadtests.bench import Report, arguments, data_file, percentile, read_jsonl

READERS = 4
LARGEST_BYTES = 40_000
BEFORE = "all-MiniLM-L6-v2"
_LONGEST_S = 1800.0


@dataclass(slots=True)
class Seen:
    """What readers and the health check saw."""

    ms: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    by_words: int = 0
    by_both: int = 0
    steps: list[tuple[float, str]] = field(default_factory=list)


def made(documents: Sequence[Path], home: Path) -> float:
    """Seconds to make the folder as it was before."""
    settings = environment_of({"LIBRI_DATA__DIR": str(home), "LLM_BACKEND": "extractive"})
    began = time.perf_counter()
    command = [sys.executable, "-m", "backend", "ingest", *map(str, documents)]
    subprocess.run(command, env=settings | {"EMBEDDING_MODEL": BEFORE}, check=True, capture_output=True)
    return time.perf_counter() - began


async def reader(url: str, questions: Sequence[str], first: int, seen: Seen, over: asyncio.Event) -> None:
    """One who asks, hears, and asks again."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        while not over.is_set():
            first += READERS
            began = time.perf_counter()
            try:
                answer = await client.post(
                    "/api/v1/chat", json={"question": questions[first % len(questions)]}
                )
                answer.raise_for_status()
                degraded = answer.json()["degraded"]
            except (httpx.HTTPError, KeyError) as exc:
                seen.failed += [] if over.is_set() else [f"{type(exc).__name__}: {exc}"[:200]]
                continue
            seen.ms.append((time.perf_counter() - began) * 1000)
            if "dense" in degraded:
                seen.by_words += 1
            else:
                seen.by_both += 1


async def watched(url: str, seen: Seen, *, until: float) -> bool:
    """Look until the dense index is whole, or holds `until` of its passages; whether it is whole."""
    began = time.perf_counter()
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        while time.perf_counter() - began < _LONGEST_S:
            dense = (await client.get("/health/deep")).json()["checks"]["dense"]
            seen.steps.append((time.perf_counter() - began, str(dense["detail"])))
            if dense["ok"]:
                return True
            held, _, rest = str(dense["detail"]).partition(" of ")
            if held.isdigit() and int(held) >= until * int(rest.split()[0]) > 0:
                return False
            await asyncio.sleep(0.5)
    return False


async def documents_of(url: str) -> dict[str, int]:
    """Passages of each document."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        shown: list[dict[str, Any]] = (await client.get("/api/v1/documents?limit=500")).json()["documents"]
    return {one["name"]: one["passages"] for one in shown}


async def served(
    settings: dict[str, str], questions: Sequence[str], seen: Seen, *, until: float, folder: Path
) -> tuple[dict[str, int], float]:
    """Serve under load until so much is done; the documents then, and how long that took."""
    began = time.perf_counter()
    async with in_thread(replica(settings, folder=folder)) as running:
        over = asyncio.Event()
        asking = [
            asyncio.ensure_future(reader(running.url, questions, i, seen, over)) for i in range(READERS)
        ]
        whole = await watched(running.url, seen, until=until)
        took_s = time.perf_counter() - began
        if whole:
            await asyncio.sleep(2)  # some questions of both indexes
        found = await documents_of(running.url)
        over.set()
        if not whole:
            os.kill(running.pid, signal.SIGKILL)
        await asyncio.gather(*asking)
    return found, took_s


async def run(args: argparse.Namespace, report: Report, folder: Path) -> None:
    """Make, take over, kill, go on."""
    rows = read_jsonl(data_file(args, "qa_questions.jsonl"))
    questions = [row["question"] for row in rows[:: max(1, len(rows) // 200)]]
    files = sorted((args.data / "documents").iterdir())
    files = [one for one in files if one.suffix != ".json" and one.stat().st_size <= LARGEST_BYTES]
    files = files[: 6 if args.quick else None]
    home = folder / "data"
    made_s = await asyncio.to_thread(made, files, home)
    settings = {"LIBRI_DATA__DIR": str(home), "LLM_BACKEND": "extractive"}
    os.environ.pop("EMBEDDING_MODEL", None)  # the default is what is measured
    first, then = Seen(), Seen()
    before, first_s = await served(settings, questions, first, until=1 / 3, folder=folder)
    after, then_s = await served(settings, questions, then, until=2, folder=folder)
    passages = sum(after.values())
    report.say(f"{len(files)} documents, {passages} passages; made by {BEFORE} in {made_s:.0f} s")
    table = [
        (name, took_s, len(seen.ms), len(seen.failed), seen.by_words, seen.by_both,
         percentile(seen.ms, 50), percentile(seen.ms, 99))
        for name, took_s, seen in (("until the kill", first_s, first), ("after it", then_s, then))
    ]  # fmt: skip
    columns = ("part", "s", "answers", "failed", "by words", "by both", "p50 ms", "p99 ms")
    report.table("Migration under load", columns, table, key="migration")
    for why in sorted({*first.failed, *then.failed})[:5]:
        report.say(why)
    report.bar("questions that failed", len(first.failed) + len(then.failed), at_most=0)
    report.bar(
        "documents lost", len({one.name for one in files} - {Path(name).name for name in after}), at_most=0
    )
    report.bar("documents without a passage", sum(not n for n in after.values()), at_most=0)
    report.bar("documents that changed their name", len(set(before) ^ set(after)), at_most=0)
    report.bar("answers by both indexes at the end", then.by_both, at_least=1)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write, check."""
    args = arguments("Migration of a folder to another embedder.", argv)
    report = Report("bench_migration")
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(args, report, Path(folder)))
    return report.finish(args)


if __name__ == "__main__":
    raise SystemExit(main())
