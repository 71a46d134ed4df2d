"""Real gunicorn workers under every fault; what they serve is light (tests/support/light_replica.py)."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from devstack.child import Child, free_port, running, where_we_are_found

WORKERS = 2


class Light:
    """A running replica of light workers."""

    def __init__(self, child: Child, port: int, folder: Path) -> None:
        self.child, self.port, self.folder = child, port, folder
        self.url = f"http://127.0.0.1:{port}"

    @property
    def pids(self) -> set[int]:
        return {one.pid for one in psutil.Process(self.child.pid).children()}

    @property
    def starts(self) -> int:
        return self.child.said().count("Booting worker")

    @property
    def serving(self) -> set[int]:
        """Workers that have said that they serve, and have not ended."""
        up = re.findall(r'"event": "worker_up", "pid": (\d+)', self.child.said())
        return {int(pid) for pid in up} & self.pids

    async def settled(self, *, without: frozenset[int] | set[int] = frozenset()) -> None:
        """All workers serve, and none of these."""
        await until(lambda: len(self.serving) == WORKERS == len(self.pids) and not self.serving & without)

    async def get(self, path: str = "/") -> str:
        """One request on a connection of its own."""
        async with httpx.AsyncClient(base_url=self.url, timeout=30) as client:
            return (await client.get(path)).raise_for_status().text

    async def counted(self) -> float:
        """The sum of all workers' counts, as one of them tells it."""
        found = re.search(r"^libri_joined_total (\S+)", await self.get("/metrics"), re.MULTILINE)
        return float(found[1]) if found else 0.0


async def until(holds: Callable[[], bool], *, within_s: float = 40.0) -> float:
    """Wait for it; how long that took."""
    began = time.monotonic()
    async with asyncio.timeout(within_s):
        while not holds():
            await asyncio.sleep(0.02)
    return time.monotonic() - began


@contextmanager
def light_replica(folder: Path, port: int = 0) -> Iterator[Light]:
    port = port or free_port()
    command = [sys.executable, "-m", "tests.support.light_replica", folder, str(WORKERS), str(port)]
    with running("light", command, folder=folder, environment=where_we_are_found()) as child:
        yield Light(child, port, folder)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Light]:
    with light_replica(tmp_path_factory.mktemp("replica")) as started:
        yield started


@pytest.fixture
async def replica(shared: Light) -> Light:
    await shared.settled()
    return shared


class Stream:
    """One reader: a socket, and how what it read ended."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.end = ""

    async def read(self) -> None:
        """To the end: `whole` if the response was ended in order."""
        last = b""
        with suppress(ConnectionError):
            while piece := await self.reader.read(65536):
                last = (last + piece)[-16:]
                if last.endswith(b"\r\n0\r\n\r\n"):
                    self.end = "whole"
                    return
        self.end = "cut"


@asynccontextmanager
async def streams(replica: Light, count: int, path: str = "/stream") -> AsyncIterator[list[Stream]]:
    opened = []
    for _ in range(count):
        stream = Stream(*await asyncio.open_connection("127.0.0.1", replica.port))
        stream.writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        opened.append(stream)
    for stream in opened:
        await stream.reader.readuntil(b"data: x")
    try:
        yield opened
    finally:
        for stream in opened:
            stream.writer.transport.abort()


@asynccontextmanager
async def asking(replica: Light) -> AsyncIterator[Counter[str]]:
    """Somebody asks all the time; what became of it."""
    seen: Counter[str] = Counter()

    async def ask() -> None:
        while True:
            try:
                await replica.get()
                seen["answered"] += 1
            except httpx.HTTPError as exc:
                seen[type(exc).__name__] += 1
            await asyncio.sleep(0.05)

    task = asyncio.ensure_future(ask())
    yield seen
    task.cancel()


async def test_a_killed_worker_is_replaced_and_counters_go_on(replica: Light) -> None:
    for _ in range(10):
        await replica.get("/count")
    before, (victim, _) = await replica.counted(), sorted(replica.pids)
    async with asking(replica) as seen:
        os.kill(victim, signal.SIGKILL)
        await replica.settled(without={victim})
    assert await replica.counted() == before
    await replica.get("/count")
    assert await replica.counted() == before + 1
    assert seen["answered"] > 0
    assert sum(seen.values()) - seen["answered"] <= 1, "who was being answered by the killed one"


async def test_a_worker_told_to_end_does_so_in_seconds_whoever_is_connected(replica: Light) -> None:
    idle = httpx.AsyncClient(base_url=replica.url)
    await idle.get("/")
    async with streams(replica, 100) as open_ones, asyncio.TaskGroup() as reading:
        for stream in open_ones:
            reading.create_task(stream.read())
        victim = min(replica.pids)
        os.kill(victim, signal.SIGTERM)
        took_s = await until(lambda: victim not in replica.pids)
        await replica.settled(without={victim})
        ended = [stream.end for stream in open_ones if stream.end]
        os.kill(max(replica.pids - {victim}), 0)
        for stream in open_ones:
            if not stream.end:
                stream.writer.transport.abort()
    await idle.aclose()
    assert took_s < 8
    assert set(ended) <= {"whole"}


async def test_a_reader_who_takes_nothing_does_not_hold_it(replica: Light) -> None:
    async with streams(replica, 4, "/stream?large"):
        await asyncio.sleep(0.5)
        victim = max(replica.pids, key=lambda pid: len(psutil.Process(pid).net_connections("tcp4")))
        os.kill(victim, signal.SIGTERM)
        assert await until(lambda: victim not in replica.pids) < 8


async def test_hup_replaces_one_after_the_other_and_everybody_is_answered(replica: Light) -> None:
    old, most = replica.pids, 0
    async with asking(replica) as seen, streams(replica, 20) as open_ones, asyncio.TaskGroup() as reading:
        for stream in open_ones:
            reading.create_task(stream.read())
        replica.child.process.send_signal(signal.SIGHUP)
        while replica.pids & old:
            most = max(most, len(replica.pids))
            assert len(replica.serving) >= WORKERS - 1
            await asyncio.sleep(0.01)
    await replica.settled(without=old)
    assert most <= WORKERS + 1
    assert {stream.end for stream in open_ones} == {"whole"}
    assert set(seen) == {"answered"}


async def test_a_worker_that_hangs_is_killed_and_replaced_and_says_where_it_hung(replica: Light) -> None:
    with pytest.raises(httpx.HTTPError):
        await replica.get("/hang")
    await until(lambda: len(replica.pids) == WORKERS)
    assert "WORKER TIMEOUT" in replica.child.said()
    assert "light_replica.py" in replica.child.said()


async def test_more_and_fewer_workers_while_it_runs(replica: Light) -> None:
    replica.child.process.send_signal(signal.SIGTTIN)
    await until(lambda: len(replica.serving) == WORKERS + 1)
    replica.child.process.send_signal(signal.SIGTTOU)
    await replica.settled()


async def test_one_that_cannot_start_is_tried_again_after_pauses(replica: Light) -> None:
    broken = replica.folder / "broken"
    broken.write_text("the database does not answer")
    victim, starts = min(replica.pids), replica.starts
    os.kill(victim, signal.SIGKILL)
    await until(lambda: "the database does not answer" in replica.child.said())
    await asyncio.sleep(3)
    assert replica.starts - starts <= 3
    assert await replica.get()
    broken.unlink()
    await replica.settled(without={victim})


async def test_sigusr2_changes_nothing(replica: Light) -> None:
    before = replica.pids
    replica.child.process.send_signal(signal.SIGUSR2)
    await until(lambda: "SIGUSR2 is not supported" in replica.child.said())
    assert replica.pids == before


async def test_all_that_died_left_no_more_than_the_counters_of_who_lives(replica: Light) -> None:
    (folder,) = (replica.folder / "counters").iterdir()
    assert len(list(folder.glob("*.db"))) <= 3 * (WORKERS + 1)


async def test_a_replica_told_to_end_does_so_in_seconds(tmp_path: Path) -> None:
    with light_replica(tmp_path) as replica:
        await replica.settled()
        async with streams(replica, 100) as open_ones, asyncio.TaskGroup() as reading:
            for stream in open_ones:
                reading.create_task(stream.read())
            replica.child.process.send_signal(signal.SIGTERM)
            took_s = await until(lambda: replica.child.process.poll() is not None)
        with pytest.raises(httpx.ConnectError):
            await replica.get()
        assert {stream.end for stream in open_ones} == {"whole"}
        assert replica.child.process.poll() == 0
        assert "Traceback" not in replica.child.said()
        assert took_s < 8
        assert not list((tmp_path / "counters").iterdir())


async def test_workers_end_with_the_process_above_and_the_next_one_has_their_port(tmp_path: Path) -> None:
    with light_replica(tmp_path) as replica:
        await replica.settled()
        workers = [psutil.Process(pid) for pid in replica.pids]
        async with streams(replica, 10) as open_ones, asyncio.TaskGroup() as reading:
            for stream in open_ones:
                reading.create_task(stream.read())
            os.kill(replica.child.pid, signal.SIGKILL)
            await until(lambda: not any(one.is_running() for one in workers), within_s=10)
        assert {stream.end for stream in open_ones} == {"whole"}
        with light_replica(tmp_path, replica.port) as again:
            await again.settled()
            assert [folder.name for folder in (tmp_path / "counters").iterdir()] == ["0"]


def test_a_replica_that_cannot_start_says_why_in_one_line_and_ends(tmp_path: Path) -> None:
    (tmp_path / "broken").write_text("LIBRI_X is wrong: write y")
    with light_replica(tmp_path) as replica:
        assert replica.child.process.wait(30) == 1
        said = [line for line in replica.child.said().splitlines() if not line.startswith("{")]
    assert said == ["libriassist: LIBRI_X is wrong: write y"]
    assert replica.starts <= WORKERS
    assert "Traceback" not in replica.child.said()
