"""The shared stores: when an upload through one replica is answered through another; a lexical index's cost.

python -m loadtests.bench_stores lag --check        two API processes on one PostgreSQL and one Chroma server
python -m loadtests.bench_stores lexical            10,000 and 100,000 passages, in memory and in a folder
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psutil

from backend.core.types import Passage
from backend.corpus.base import CorpusRef
from backend.retrieval.lexical_tantivy import TantivyIndex
from devstack.chroma import chroma_server
from devstack.postgres import postgres_server
from devstack.redis import redis_server
from devstack.replica import Replica, replica

SOON_S = 2.0
UPLOADS = 20
CORPUS = CorpusRef("bench", "bench")


def main() -> int:
    """Run one of them; the exit status is 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=["lag", "lexical"])
    parser.add_argument(
        "--check", action="store_true", help="fail unless every upload is answered within 2 s"
    )
    options = parser.parse_args()
    if options.what == "lexical":
        lexical()
        return 0
    with two_replicas() as (one, two):
        lags = asyncio.run(lag(one, two))
    print(f"from flip to answer elsewhere: p50 {statistics.median(lags):.2f} s, longest {max(lags):.2f} s")
    return 1 if options.check and max(lags) > SOON_S else 0


@contextmanager
def two_replicas() -> Iterator[tuple[Replica, Replica]]:
    """Each with a folder of its own."""
    with (
        ExitStack() as stack,
        tempfile.TemporaryDirectory() as name,
        redis_server() as redis,
        postgres_server() as database,
        chroma_server() as chroma,
    ):
        shared = {"REDIS_URL": redis.url, "DATABASE_URL": database, "CHROMA_URL": chroma.url}
        settings = {**shared, "LLM_BACKEND": "extractive", "OLLAMA_URLS": ""}
        one, two = [
            stack.enter_context(replica(settings, name=each, folder=Path(name))) for each in ("one", "two")
        ]
        yield one, two


async def lag(one: Replica, two: Replica) -> Sequence[float]:
    """Seconds from when the hand-in is seen to have ended until the other replica answers from it."""
    lags = []
    async with (
        httpx.AsyncClient(base_url=one.url, timeout=60) as here,
        httpx.AsyncClient(base_url=two.url, timeout=60) as there,
    ):
        for number in range(UPLOADS):
            word = f"zephyr{number}quartz"
            file = ("rule.md", f"# Rules\n\nThe secret word of the house is {word}.\n".encode())
            sent = (await here.post("/api/v1/documents", files=[("file", file)])).json()
            while (await here.get(f"/api/v1/ingestions/{sent['id']}")).json()["state"] != "done":
                await asyncio.sleep(0.01)
            began = time.monotonic()
            while not await _says(there, word):
                await asyncio.sleep(0.01)
            lags.append(time.monotonic() - began)
    return lags


async def _says(client: httpx.AsyncClient, word: str) -> bool:
    body = {"question": "What is the secret word of the house?"}
    answer = (await client.post("/api/v1/chat", json=body)).json()
    return word in str(answer.get("answer")) and not {"dense", "lexical"} & set(answer["degraded"])


def lexical() -> None:
    """Time and memory of each kind of index, each in a process of its own."""
    for size in (10_000, 100_000):
        for kind in ("memory", "folder"):
            measured = multiprocessing.get_context("spawn").Process(target=_measured, args=(size, kind))
            measured.start()
            measured.join()


def _measured(size: int, kind: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(_built(size, kind, Path(name)))


async def _built(size: int, kind: str, folder: Path) -> None:
    index, before, took_s = TantivyIndex(None if kind == "memory" else folder), _resident_mb(), 0.0
    for first in range(0, size, 1000):
        some = [_passage(number) for number in range(first, first + 1000)]
        began = time.process_time()
        await index.add(CORPUS, some)
        took_s += time.process_time() - began
    grown = _resident_mb() - before
    began = time.perf_counter()
    await index.add(CORPUS, [_passage(size + number) for number in range(5)])
    one_more_ms = (time.perf_counter() - began) * 1000
    index.close()
    line = f"{size} passages, {kind}: {took_s:.1f} s of CPU, {grown:.0f} MB"
    line += f", a document more {one_more_ms:.0f} ms"
    if kind == "folder":
        reader, before = TantivyIndex(folder), _resident_mb()
        await reader.search(CORPUS, "w1 w20 w300", "en", 50)
        line += f", a further reader {_resident_mb() - before:.0f} MB"
        reader.close()
    print(line, flush=True)


def _resident_mb() -> float:
    return float(psutil.Process().memory_info().rss) / 1e6


def _passage(number: int) -> Passage:
    """About 120 words, common and rare ones as in a language."""
    chance = random.Random(number)
    text = " ".join(f"w{min(int(chance.paretovariate(0.9)), 40_000)}" for _ in range(120))
    revision = f"{number // 10:064x}"
    place = {"document": f"d{number // 10}", "revision": revision, "name": "x.md", "title": "Rules"}
    return Passage(
        id=f"{revision}:{number % 10}", **place, headings=(), text=text, page=None,
        start=0, end=len(text), language="en",
    )  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
