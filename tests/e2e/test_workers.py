"""The real application in two gunicorn workers: one port, one set of counters, answers of nobody's own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest

from devstack import chroma
from devstack.chroma import chroma_server
from devstack.emulator import emulator_processes
from devstack.replica import Replica, gunicorn_replica
from tests.support.live_app import HOURS, Event, events
from tests.support.needed import missing
from tests.support.postgres import postgres_server
from tests.support.redis_server import redis_server

ANSWER = "The library opens at nine [1], and closes at six in the evening [1]. " * 5
READERS = 24
OVER = ("done", "error")


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Replica]:
    if chroma.program() is None:
        missing("chroma is not installed")
    with ExitStack() as opened:
        knobs = [{"num_parallel": READERS, "reply": ANSWER, "time_scale": 1.0}]
        (ollama,) = opened.enter_context(emulator_processes(knobs))
        settings = {
            "REDIS_URL": opened.enter_context(redis_server()).url,
            "DATABASE_URL": opened.enter_context(postgres_server()),
            "CHROMA_URL": opened.enter_context(chroma_server()).url,
            "OLLAMA_URLS": ollama.url,
            "OLLAMA_NUM_PARALLEL": str(READERS),
            "OLLAMA_MODEL": "llama3.1:8b",
            "LLM_BACKEND": "ollama",
            "LIBRI_REDIS__ACK_S": "2",  # a machine that is busy with other tests is no Redis that fails
            "LIBRI_DATA__MODELS_DIR": str(models_dir),
        }
        folder = tmp_path_factory.mktemp("replica")
        yield opened.enter_context(gunicorn_replica(settings, workers=2, folder=folder))


@pytest.fixture
async def client(replica: Replica) -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=replica.url, timeout=60, limits=limits) as client:
        yield client


async def put(client: httpx.AsyncClient, *files: tuple[str, bytes]) -> None:
    """Hand in files; done once any worker finds what is in them."""
    handed = await client.post("/api/v1/documents", files=[("file", one) for one in files])
    ingestion = handed.raise_for_status().json()["id"]
    async with asyncio.timeout(60):
        while (await client.get(f"/api/v1/ingestions/{ingestion}")).json()["state"] != "done":
            await asyncio.sleep(0.1)
        while not all(await asyncio.gather(*(_finds(client, number) for number in range(4)))):
            await asyncio.sleep(0.2)


async def _finds(client: httpx.AsyncClient, number: int) -> bool:
    body = {"question": f"When does the library open in the morning, for group {number}?"}
    answer = (await client.post("/api/v1/chat", json=body)).raise_for_status().json()
    return bool(answer["sources"]) and not answer.get("degraded")


@dataclass
class Reader:
    """Reads one answer as a page does: whatever ends without an end is asked for again."""

    client: httpx.AsyncClient
    question: str
    happened: list[Event] = field(default_factory=list)
    connections: int = 0

    async def read(self) -> None:
        run = last = ""
        while not self.happened or self.happened[-1].name not in OVER:
            self.connections += 1
            try:
                async with self._open(run, last) as response:
                    async for event in events(response):
                        self.happened.append(event)
                        run, last = run or str(event.data.get("run_id", "")), event.id or last
            except httpx.TransportError:
                assert run, "a question is asked once"
            await asyncio.sleep(0.05)

    def _open(self, run: str, last: str):
        if not run:
            return self.client.stream("POST", "/api/v1/chat/stream", json={"question": self.question})
        return self.client.stream("GET", f"/api/v1/runs/{run}/events", headers={"Last-Event-ID": last})

    @property
    def text(self) -> str:
        return "".join(event.data["text"] for event in self.happened if event.name in ("delta", "replace"))


def _connections(replica: Replica, pid: int) -> int:
    """Of readers, at this worker."""
    held = psutil.Process(pid).net_connections("tcp4")
    return sum(one.laddr.port == replica.port and one.status == psutil.CONN_ESTABLISHED for one in held)


async def samples(client: httpx.AsyncClient) -> dict[str, float]:
    lines = (await client.get("/metrics")).text.splitlines()
    pairs = (line.rpartition(" ") for line in lines if line[0] != "#")
    return {name: float(value) for name, _, value in pairs}


async def test_readers_of_a_worker_that_is_told_to_end_have_their_whole_answers(
    replica: Replica, client: httpx.AsyncClient
) -> None:
    await put(client, HOURS)
    before = await samples(client)
    readers = [Reader(client, f"When does the library open, room {number}?") for number in range(READERS)]
    idle = httpx.AsyncClient(base_url=replica.url)
    await idle.get("/health")
    async with asyncio.timeout(120), asyncio.TaskGroup() as reading:
        for reader in readers:
            reading.create_task(reader.read())
        while not all(any(event.name == "delta" for event in reader.happened) for reader in readers):
            await asyncio.sleep(0.02)
        assert (await samples(client))["libri_event_streams"] > READERS / 2, "of both workers"
        victim, told = max(replica.workers, key=lambda pid: _connections(replica, pid)), time.monotonic()
        os.kill(victim, signal.SIGTERM)
        while victim in replica.workers:
            await asyncio.sleep(0.02)
        took_s = time.monotonic() - told
    await idle.aclose()
    assert took_s < 10
    assert {reader.text for reader in readers} == {ANSWER}
    assert [reader.happened[-1].name for reader in readers] == ["done"] * READERS
    assert any(reader.connections > 1 for reader in readers)
    after = await samples(client)
    ended = 'libri_runs_total{result="stop"}'
    assert after[ended] - before.get(ended, 0) == READERS, "one generation a question, and counters go on"
    assert after["libri_event_streams"] == 0


async def test_any_worker_tells_of_the_whole_replica(client: httpx.AsyncClient) -> None:
    told = [await samples(client) for _ in range(12)]
    assert {one["libri_ingest_passages_total"] for one in told} == {2}
    assert len({one['libri_runs_total{result="stop"}'] for one in told}) == 1


def test_workers_are_forked_from_a_process_with_all_modules_and_no_threads(replica: Replica) -> None:
    above = psutil.Process(replica.pid)
    assert above.num_threads() == 1
    assert any("numpy" in mapped.path for mapped in above.memory_maps())


def test_who_serves_is_written_for_commands_of_the_same_host(replica: Replica) -> None:
    (address,) = replica.log.parent.glob("*/server.json")
    assert json.loads(address.read_text())["url"] == replica.url
    assert not re.search("Traceback", replica.child.said())
