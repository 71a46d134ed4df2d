"""What a worker of a replica weighs: idle, a stream, and a thousand streams in which nothing happens.

A replica of one gunicorn worker over real Redis, PostgreSQL and Chroma; its model server says a token and is
then silent for ten minutes. First a thousand readers follow one answer, then each has an answer of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil

from devstack.child import in_thread
from devstack.chroma import chroma_server
from devstack.embedder import embedding_service
from devstack.postgres import postgres_server
from devstack.redis import redis_server
from devstack.replica import Replica, gunicorn_replica
from loadtests.bench import MODELS, Report, arguments, percentile
from loadtests.fast_engine import Load
from loadtests.token_load import engine, question

SILENT = Load(2, 600_000)
TEXT = b"# Opening hours\n\nThe library opens at nine in the morning, on every shelf, from Tuesday on.\n"
WATCHED_S = 15.0


@dataclass(slots=True)
class Weight:
    """A process at one moment, in MB; and its CPU time so far."""

    rss: float
    uss: float
    cpu_s: float

    @classmethod
    def of(cls, pid: int) -> Weight:
        process = psutil.Process(pid)
        memory, times = process.memory_full_info(), process.cpu_times()
        return cls(memory.rss / 1e6, memory.uss / 1e6, times.user + times.system)


@asynccontextmanager
async def replica(place: Path, *, with_service: bool) -> AsyncIterator[Replica]:
    """One of a single worker, with or without the embedding model in its process."""
    async with AsyncExitStack() as opened:
        redis = await opened.enter_async_context(in_thread(redis_server(place)))
        database = await opened.enter_async_context(in_thread(postgres_server(folder=place)))
        chroma = await opened.enter_async_context(in_thread(chroma_server(place)))
        settings = {
            "REDIS_URL": redis.url,
            "DATABASE_URL": database,
            "CHROMA_URL": chroma.url,
            "OLLAMA_URLS": await opened.enter_async_context(engine([SILENT])),
            "OLLAMA_NUM_PARALLEL": "1000",
            "LLM_BACKEND": "ollama",
            "OLLAMA_MODEL": SILENT.name,
            "LIBRI_ENGINE__INTER_TOKEN_TIMEOUT_S": "600",
            "LIBRI_RETRIEVAL__INDEX_TIMEOUT_S": "60",
            "LIBRI_RETRIEVAL__CATCH_UP_S": "60",
            "LIBRI_DATA__MODELS_DIR": str(MODELS),
        }
        if with_service:
            models = {"LIBRI_DATA__MODELS_DIR": str(MODELS)}
            service = await opened.enter_async_context(in_thread(embedding_service(models, folder=place)))
            settings["LIBRI_EMBEDDING__URL"] = service.url
        yield await opened.enter_async_context(in_thread(gunicorn_replica(settings, workers=1, folder=place)))


async def hand_in(url: str) -> None:
    """A document that answers, read."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        put = await client.post("/api/v1/documents", files={"file": ("hours.md", TEXT, "text/markdown")})
        status = put.raise_for_status().json()
        while status["state"] not in ("done", "failed"):
            await asyncio.sleep(0.2)
            status = (await client.get(f"/api/v1/ingestions/{status['id']}")).json()


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def opened_at(url: str, request: bytes) -> tuple[Connection, bytes]:
    """A stream that is open; everything up to its first token."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=2**20)
    writer.write(request)
    async with asyncio.timeout(120):
        try:
            return (reader, writer), await reader.readuntil(b"event: delta\n")
        except asyncio.IncompleteReadError as exc:
            raise RuntimeError(f"a stream ended before its first token: {exc.partial[-300:]!r}") from exc


def asked(number: int) -> bytes:
    body = json.dumps({"question": question(number)}).encode()
    head = "POST /api/v1/chat/stream HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def followed(run: str) -> bytes:
    return f"GET /api/v1/runs/{run}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


async def many(url: str, requests: Sequence[bytes]) -> list[Connection]:
    """All of them, ten being opened at once."""
    room = asyncio.Semaphore(10)

    async def one(request: bytes) -> Connection:
        async with room:
            return (await opened_at(url, request))[0]

    return await asyncio.gather(*map(one, requests))


async def idle(url: str, pid: int) -> tuple[float, list[float]]:
    """Share of a core that the worker takes while nothing happens, and how long others wait for an answer."""
    began, now = Weight.of(pid).cpu_s, asyncio.get_running_loop().time
    waits: list[float] = []
    until = now() + WATCHED_S
    async with httpx.AsyncClient(base_url=url) as client:
        while now() < until:
            sent = now()
            await client.get("/health")
            waits.append((now() - sent) * 1000)
            await asyncio.sleep(0.05)
    return (Weight.of(pid).cpu_s - began) / WATCHED_S, waits


async def measure(report: Report, place: Path, count: int, *, with_service: bool) -> None:
    """One replica, from idle to a thousand streams of either kind."""
    where = "in the service" if with_service else "in the worker"
    rows: list[tuple[str, float, float, float, float, float]] = []
    async with replica(place, with_service=with_service) as running:
        await hand_in(running.url)
        (worker,) = running.workers
        first, head = await opened_at(running.url, asked(0))
        run = json.loads(head.partition(b"event: started\ndata: ")[2].partition(b"\n")[0])["run_id"]
        before = Weight.of(worker)
        rows.append(("the process above", Weight.of(running.pid).rss, Weight.of(running.pid).uss, 0, 0, 0))
        rows.append(("a worker, idle", before.rss, before.uss, 0, 0, 0))
        for what, requests in (
            (f"{count} follow one answer", [followed(run)] * count),
            (f"{count} answers, a reader each", [asked(number) for number in range(1, count)]),
        ):
            connections = await many(running.url, requests)
            share, waits = await idle(running.url, worker)
            after = Weight.of(worker)
            each = (after.rss - before.rss) * 1000 / len(connections)
            rows.append((what, after.rss, after.uss, each, share * 100, percentile(waits, 99)))
            for _, writer in connections:
                writer.close()
            await asyncio.sleep(1)
            before = Weight.of(worker)
        first[1].close()
    columns = ("what", "RSS, MB", "USS, MB", "kB a stream", "% of a core", "/health p99, ms")
    report.table(f"A worker; the embedding model is {where}", columns, rows, key=where.replace(" ", "_"))
    report.bar(f"kB a stream that follows, model {where}", rows[2][3], at_most=100.0)


async def bench(args: argparse.Namespace) -> int:
    """All of it."""
    report = Report("bench_worker")
    for with_service in (False, True):
        with tempfile.TemporaryDirectory(prefix="worker-") as name:
            await measure(report, Path(name), 200 if args.quick else 1000, with_service=with_service)
    return report.finish(args)


def main(argv: Sequence[str] | None = None) -> int:
    """Run; the exit status is 1 when `--check` finds a bar missed."""
    return asyncio.run(bench(arguments("What a worker of a replica weighs.", argv)))


if __name__ == "__main__":
    sys.exit(main())
