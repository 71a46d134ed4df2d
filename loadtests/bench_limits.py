"""What NGINX lets through to the application: one caller who asks too much, and 500 who are too slow.

One key asks 300 times within a second; 3,000 keys that nobody has ask as fast as they can. Then twenty
readers go on asking at an even pace, without 500 sockets that send a byte a second and beside them: spells
in turn, so that what else the machine does falls on both.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from devstack.child import in_thread
from devstack.nginx import Front, front
from loadtests.bench import Report, arguments, number, percentile
from loadtests.fast_engine import Load
from loadtests.token_load import application, engine

KEY = "key-of-this-benchmark"
PATH = "/api/v1/session"
BURST = 20
NETWORK_RATE, NETWORK_BURST = 100, 1000
READERS, READER_PERIOD_S = 20, 0.25
SPELL_S = 12.0
SLOW = 500
SLOW_HEAD = (
    "POST /api/v1/chat HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\nAuthorization: Bearer slow-{}\r\n"
)


@dataclass(slots=True)
class Reply:
    """One response."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)


class Caller:
    """One connection, kept and made anew, with one credential."""

    def __init__(self, port: int, headers: Mapping[str, str]) -> None:
        self._port = port
        self._head = "".join(f"{name}: {text}\r\n" for name, text in {"Host": "127.0.0.1", **headers}.items())
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str = "GET", path: str = PATH, body: bytes = b"", *, more: str = "") -> Reply:
        """One request, answered."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        length = f"Content-Length: {len(body)}\r\nContent-Type: application/json\r\n" if body else ""
        writer.write(f"{method} {path} HTTP/1.1\r\n{self._head}{more}{length}\r\n".encode() + body)
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip().split("\r\n")
        headers = {name.lower(): text for name, _, text in (line.partition(": ") for line in lines)}
        await reader.readexactly(int(headers.get("content-length", 0)))
        if headers.get("connection") == "close":
            self.leave()
        return Reply(int(first.split()[1]), headers)

    def leave(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None


async def greedy(door: Front) -> tuple[list[Reply], Reply, float]:
    """300 requests of one key, evenly within a second; then one more, after the wait that a refusal names."""
    callers = [Caller(door.port, {"Authorization": f"Bearer {KEY}"}) for _ in range(6)]
    now = asyncio.get_running_loop().time
    began = now()

    async def share(first: int) -> list[Reply]:
        found = []
        for place in range(first, 300, len(callers)):
            await asyncio.sleep(began + place / 300 - now())
            found.append(await callers[first].ask())
        return found

    replies = [one for of_one in await asyncio.gather(*map(share, range(len(callers)))) for one in of_one]
    took_s = now() - began
    refused = next(one for one in reversed(replies) if one.status == 429)
    await asyncio.sleep(float(refused.headers["retry-after"]))
    last = await callers[0].ask()
    for caller in callers:
        caller.leave()
    return replies, last, took_s


async def inventor(door: Front, count: int) -> tuple[Counter[int], float]:
    """`count` requests, each with another key that nobody has, eight at a time."""
    now = asyncio.get_running_loop().time
    began, statuses = now(), Counter[int]()

    async def share(first: int) -> None:
        caller = Caller(door.port, {})
        for place in range(first, count, 8):
            reply = await caller.ask(more=f"Authorization: Bearer invented-{place}\r\n")
            statuses[reply.status] += 1
        caller.leave()

    await asyncio.gather(*map(share, range(8)))
    return statuses, now() - began


async def signed_in(door: Front) -> list[Caller]:
    """Readers, each with a cookie of its own."""
    readers = []
    for _ in range(READERS):
        entrance = Caller(door.port, {})
        reply = await entrance.ask("POST", body=f'{{"key": "{KEY}"}}'.encode())
        entrance.leave()
        readers.append(Caller(door.port, {"Cookie": reply.headers["set-cookie"].partition(";")[0]}))
    return readers


async def spell(readers: Sequence[Caller], seconds: float) -> list[float]:
    """How long each request of the readers took, in milliseconds."""
    now = asyncio.get_running_loop().time
    began, took_ms = now(), list[float]()

    async def go_on(place: int) -> None:
        due = began + place * READER_PERIOD_S / len(readers)
        while due < began + seconds:
            await asyncio.sleep(max(0.0, due - now()))
            asked = now()
            reply = await readers[place].ask()
            assert reply.status == 200, reply
            took_ms.append((now() - asked) * 1000)
            due += READER_PERIOD_S

    await asyncio.gather(*map(go_on, range(len(readers))))
    return took_ms


class SlowSockets:
    """500 that send a byte a second, half of them within their headers; whoever is let go comes again.

    Attributes:
        let_go: How often NGINX has ended one.
    """

    def __init__(self, port: int) -> None:
        self.let_go = 0
        self._port = port
        self._held: dict[int, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}

    async def drip(self) -> None:
        """Go on until cancelled; ten at a time, so that the readers' clock is not held up."""
        try:
            while True:
                for first in range(0, SLOW, 10):
                    await asyncio.sleep(10 / SLOW)
                    for number in range(first, first + 10):
                        await self._byte(number)
        finally:
            for _, writer in self._held.values():
                writer.close()

    async def _byte(self, number: int) -> None:
        reader, writer = self._held.get(number, (None, None))
        if reader is None or writer is None:
            opened = await asyncio.open_connection("127.0.0.1", self._port)
            opened[1].write(SLOW_HEAD.format(number).encode() + b"\r\n" * (number % 2))
            self._held[number] = opened
        elif reader.at_eof() or writer.is_closing():
            self.let_go += 1
            self._held.pop(number)[1].close()
        else:
            writer.write(b"x")


@asynccontextmanager
async def slow_sockets(door: Front) -> AsyncIterator[SlowSockets]:
    """All of them, connected."""
    sockets = SlowSockets(door.port)
    async with asyncio.TaskGroup() as tasks:
        dripping = tasks.create_task(sockets.drip())
        await asyncio.sleep(2.0)
        yield sockets
        dripping.cancel()


async def too_much(report: Report, url: str) -> None:
    """The first table."""
    rows = []
    for conf, rate in (("nginx.conf", 10), ("load-test.conf", 5)):
        async with in_thread(front([url], conf=conf)) as door:
            replies, last, took_s = await greedy(door)
        accepted = sum(one.status == 200 for one in replies)
        refused = [one for one in replies if one.status == 429]
        waits = sorted({one.headers.get("retry-after", "") for one in refused})
        shaped = sum(one.headers["content-type"] == "application/problem+json" for one in refused)
        rows.append((conf, len(replies), took_s, accepted, len(refused), ", ".join(waits), last.status))
        report.bar(
            f"{conf}: accepted, more than rate and burst", accepted - (1 + BURST + rate * took_s), at_most=1
        )
        report.bar(f"{conf}: accepted, fewer than the burst", accepted, at_least=1 + BURST)
        report.bar(f"{conf}: refusals of another shape", len(refused) - shaped, at_most=0)
        report.bar(f"{conf}: accepted after the wait", float(last.status == 200), at_least=1)
    columns = ("file", "asked", "within, s", "accepted", "429", "Retry-After, s", "after that wait")
    report.table("One key, 300 requests in a second", columns, rows, key="one_key")


async def invented(report: Report, url: str, count: int) -> None:
    """What keys that nobody has cost the application."""
    async with in_thread(front([url])) as door:
        statuses, took_s = await inventor(door, count)
    columns = ("asked", "within, s", "reached the application (401)", "429")
    rate = NETWORK_BURST + 1 + NETWORK_RATE * took_s
    row = (count, took_s, statuses[401], statuses[429])
    report.table("Invented keys of one address", columns, [row], key="invented")
    report.bar(
        "invented keys that reach the application, of the network's rate and burst",
        statuses[401] / rate,
        at_most=1.01,
    )


async def too_slow(report: Report, url: str, turns: int) -> None:
    """The last table."""
    spells: dict[bool, list[list[float]]] = {False: [], True: []}
    let_go = 0
    async with in_thread(front([url])) as door:
        readers = await signed_in(door)
        await spell(readers, 2.0)
        for _ in range(turns):
            spells[False].append(await spell(readers, SPELL_S))
            async with slow_sockets(door) as slow:
                spells[True].append(await spell(readers, SPELL_S))
            let_go += slow.let_go
        for reader in readers:
            reader.leave()
    columns = (
        "beside",
        "requests",
        "p50, ms",
        "p95, ms",
        "p99, ms",
        "p99 of each spell, ms",
        "slow ones let go",
    )
    rows = [
        ("none", *_row(spells[False]), 0),
        (f"{SLOW} slow sockets", *_row(spells[True]), let_go),
    ]
    report.table("Readers beside slow sockets", columns, rows, key="slow")
    worst = max(percentile(one, 99) for one in spells[False])
    beside = percentile([one for of_spell in spells[True] for one in of_spell], 99)
    report.bar("p99 beside slow sockets, of the worst quiet spell's", beside / worst, at_most=1.0)


def _row(spells: Sequence[Sequence[float]]) -> tuple[object, ...]:
    every = [one for spell in spells for one in spell]
    of_each = ", ".join(number(percentile(spell, 99)) for spell in spells)
    return (len(every), *(percentile(every, q) for q in (50, 95, 99)), of_each)


async def bench(args: argparse.Namespace) -> int:
    """All of it."""
    report = Report("bench_limits")
    with tempfile.TemporaryDirectory(prefix="limits-") as name:
        async with (
            engine([Load(1)]) as engine_url,
            application(Path(name) / "data", engine_url, more={"API_KEY": KEY}) as (target, _),
        ):
            await too_much(report, target.url)
            await invented(report, target.url, 3000)
            await too_slow(report, target.url, 1 if args.quick else 4)
    return report.finish(args)


def main(argv: Sequence[str] | None = None) -> int:
    """Run; the exit status is 1 when `--check` finds a bar missed."""
    return asyncio.run(bench(arguments("What NGINX lets through.", argv)))


if __name__ == "__main__":
    sys.exit(main())
