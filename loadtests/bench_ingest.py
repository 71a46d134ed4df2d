"""Ingest the real documents as `libriassist ingest` does: all read, how fast, again, and killed on the way.

    python -m loadtests.bench_ingest --data ../shared/data --json out.json --check

Every run is a process of its own on real parsers, embedder, Chroma, tantivy and SQLite.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from backend.config import Data, Settings
from backend.corpus.base import CorpusRef
from backend.embedding.base import Embedder, Vectors
from backend.services import Services
from backend.wiring.services import LOCAL_TENANT, open_services
from loadtests.bench import Report, arguments, data_file

CORPUS = CorpusRef(LOCAL_TENANT, "default")
QUICK_BYTES = 20_000
KILLS_AT = (0.25, 0.5, 0.8)
WORD = re.compile(r"[^\W\d_]+")


def main(argv: Sequence[str] | None = None) -> int:
    if (given := list(argv if argv is not None else sys.argv[1:]))[:1] == ["child"]:
        return asyncio.run(_child(Path(given[1]), Path(given[2])))
    args = arguments("Ingests the real documents, again, and killed on the way.", argv)
    report = Report("bench_ingest")
    with tempfile.TemporaryDirectory(prefix="ingest-") as scratch:
        folder, calm, rough = (Path(scratch) / name for name in ("documents", "calm", "rough"))
        _stage(args, folder)
        first, second = _run(calm, folder), _run(calm, folder)
        _speed(report, first, second)
        _documents(report, first)
        _killed(report, rough, folder, first)
    return report.finish(args)


def _stage(args: argparse.Namespace, folder: Path) -> None:
    """The documents alone, without the manifest; with --quick only small ones and one PDF."""
    manifest = data_file(args, "documents/MANIFEST.json")
    files = sorted(path for path in manifest.parent.iterdir() if path != manifest)
    if args.quick:
        pdfs = sorted((p for p in files if p.suffix == ".pdf"), key=lambda p: p.stat().st_size)[:1]
        files = [p for p in files if p.stat().st_size <= QUICK_BYTES and p.suffix != ".pdf"][::3] + pdfs
    folder.mkdir()
    for path in files:
        shutil.copy(path, folder / path.name)


def _speed(report: Report, first: dict[str, Any], second: dict[str, Any]) -> None:
    rate, busy = first["passages"] / first["seconds"], first["embedding_s"] / first["seconds"]
    share = second["seconds"] / first["seconds"]
    rows = [
        ("documents", len(first["items"]), len(second["items"])),
        ("seconds", first["seconds"], second["seconds"]),
        ("seconds to start", first["start_s"], second["start_s"]),
        ("passages in the indexes", first["dense"], second["dense"]),
    ]
    report.table("The same folder twice", ("what", "first run", "second run"), rows, key="runs")
    report.table(
        "Pace",
        ("passages a second", "seconds embedding", "share of the time"),
        [(rate, first["embedding_s"], busy)],
        key="pace",
    )
    states = [item["state"] for item in first["items"]]
    report.bar("share of the documents read", states.count("done") / len(states), at_least=1.0)
    again = [item["state"] for item in second["items"]]
    report.bar("share unchanged the second time", again.count("unchanged") / len(again), at_least=1.0)
    report.bar("second run against the first", share, at_most=0.05)
    report.bar("share of the time spent embedding", busy, at_least=0.8)


def _documents(report: Report, run: dict[str, Any]) -> None:
    rows = [
        (name, document["passages"], document["chars"], document["word_length"])
        for name, document in sorted(run["documents"].items())
    ]
    columns = ("document", "passages", "characters", "letters a word")
    report.table("What was read", columns, rows, key="documents")
    for item in run["items"]:
        if item["state"] == "failed":
            report.say(f"not read: {item['name']}: {item['reason']}")
    lengths = [d["word_length"] for name, d in run["documents"].items() if name.endswith(".pdf")]
    report.bar("shortest mean word of a PDF, letters", min(lengths), at_least=4.0)
    report.bar("longest mean word of a PDF, letters", max(lengths), at_most=7.0)


def _killed(report: Report, home: Path, folder: Path, calm: dict[str, Any]) -> None:
    """Kill -9 at parts of the undisturbed time, each time on the folder as the last one left it."""
    rows = []
    for part in KILLS_AT:
        rows.append((f"{part:.0%}", _run_and_kill(home, folder, part, len(calm["items"]))))
    end = _run(home, folder)
    same = end["documents"] == calm["documents"]
    clean = (end["dense"], end["lexical"], end["left_over"]) == (calm["dense"], calm["lexical"], 0)
    report.table("Killed with -9", ("killed after", "documents live then"), rows, key="kills")
    report.say(
        f"after the last run: {end['dense']} and {end['lexical']} passages, {end['left_over']} left over"
    )
    report.bar("same catalogue as an undisturbed run", float(same), at_least=1.0)
    report.bar("same passages in both indexes, nothing left over", float(clean), at_least=1.0)


def _start(home: Path, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "loadtests.bench_ingest", "child", str(home), str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


def _run(home: Path, folder: Path) -> dict[str, Any]:
    child = _start(home, folder)
    try:
        out, _ = child.communicate(timeout=3600)
    finally:
        child.kill()
    if child.returncode:
        sys.exit(f"ingesting failed with {child.returncode}")
    result: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
    return result


def _run_and_kill(home: Path, folder: Path, part: float, total: int) -> int:
    """Kill the process while it works on what follows `part` of the documents; how many are live then."""
    child = _start(home, folder)
    while _live(home) < part * total and child.poll() is None:
        time.sleep(0.05)
    time.sleep(0.7)  # somewhere within the next ones
    ended = child.poll() is not None
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.communicate()
    if ended:
        sys.exit("the process ended before it could be killed")
    return _live(home)


def _live(home: Path) -> int:
    """Live documents, read beside the process."""
    try:
        with closing(sqlite3.connect(f"file:{home / 'libriassist.db'}?mode=ro", uri=True)) as sql:
            return int(sql.execute("SELECT count(*) FROM documents").fetchone()[0])
    except sqlite3.OperationalError:
        return 0  # not there yet


async def _child(home: Path, folder: Path) -> int:
    began = time.perf_counter()
    async with open_services(Settings(data=Data(dir=home)), instances=[]) as services:
        watch = _timed(services)
        ready = time.perf_counter()
        ingestion = await services.ingestion.submit_path(CORPUS, [folder])
        status = await services.ingestion.run_to_end(CORPUS.tenant, ingestion)
        ended = time.perf_counter()
        found = await _found(services)
        result = dict(
            **found,
            start_s=ready - began,
            seconds=ended - ready,
            items=[{"name": i.name, "state": i.state, "reason": i.reason} for i in status.items],
            embedding_s=watch.seconds,
        )
    print(json.dumps(result))
    return 0


async def _found(services: Services) -> dict[str, Any]:
    """What the run left behind, as one may compare it with another run's."""
    worker = services.ingestion.worker
    await asyncio.sleep(worker.pace.grace_s + 0.1)
    await worker.tidy(CORPUS)
    documents = {}
    for document in await services.catalogue.documents(CORPUS, limit=1000):
        text, revision = await services.catalogue.text(CORPUS, document.id)
        words = WORD.findall(text)
        documents[document.name] = {
            "id": document.id,
            "revision": revision,
            "title": document.title,
            "language": document.language,
            "passages": document.passages,
            "chars": len(text),
            "text_sha256": hashlib.sha256(text.encode()).hexdigest(),
            "word_length": sum(map(len, words)) / len(words),
        }
    return {
        "documents": documents,
        "passages": sum(d["passages"] for d in documents.values()),
        "dense": await worker.derivation.dense.count(CORPUS),
        "lexical": await worker.derivation.lexical.count(CORPUS),
        "left_over": len(await worker.catalogue.left_over(CORPUS, older_than_s=0)),
    }


class Stopwatch:
    """An embedder, and how long it has been at work."""

    def __init__(self, inner: Embedder) -> None:
        self.id, self.dimensions, self.max_tokens = inner.id, inner.dimensions, inner.max_tokens
        self.embed_queries, self.count_tokens = inner.embed_queries, inner.count_tokens
        self._inner = inner
        self.seconds = 0.0

    async def embed_passages(self, texts: Sequence[str]) -> Vectors:
        began = time.perf_counter()
        try:
            return await self._inner.embed_passages(texts)
        finally:
            self.seconds += time.perf_counter() - began


def _timed(services: Services) -> Stopwatch:
    worker = services.ingestion.worker
    publisher = worker.pipeline.publisher
    watch = Stopwatch(publisher.embedder)
    worker.pipeline = replace(worker.pipeline, publisher=replace(publisher, embedder=watch))
    return watch


if __name__ == "__main__":
    sys.exit(main())
