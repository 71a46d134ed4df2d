"""Is the emulator ever the bottleneck? Tokens a second when tokens are instant, lateness when they are not.

    python -m loadtests.bench_emulator --check

The reader is a bare socket that only counts lines, in this process; emulators run in their own. Lateness
compares the times at which objects arrive with the pace of the machine emulated. It includes that of the
reader and of a busy machine, so a bare timer of the same pace runs beside the streams, and the bar is on what
the emulator adds to it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvloop

from loadtests.bench import Report, arguments, percentile
from ollama_emulator.presets import PRESETS

MODEL = "llama3.1:8b"


@dataclass(frozen=True)
class Fleet:
    """Instances, a process each."""

    urls: list[str]
    pids: list[int]

    def cpu_s(self) -> float:
        """Processor time all of them have used."""
        fields = [Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split() for pid in self.pids]
        return sum(int(f[11]) + int(f[12]) for f in fields) / os.sysconf("SC_CLK_TCK")


@contextmanager
def emulators(count: int, **knobs: Any) -> Iterator[Fleet]:
    """So many instances, ended at the end."""
    command = [sys.executable, "-m", "ollama_emulator", "--port", "0", "--knobs", json.dumps(knobs)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(count)]
    try:
        ready = [json.loads(child.stdout.readline()) for child in children if child.stdout]
        yield Fleet([it["url"] for it in ready], [it["pid"] for it in ready])
    finally:
        for child in children:
            child.send_signal(signal.SIGTERM)
        for child in children:
            child.wait()
            if child.stdout:
                child.stdout.close()


@dataclass
class Reader(asyncio.Protocol):
    """Counts the objects of one stream and notes when they came."""

    body: bytes
    keep_times: bool
    done: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    objects: int = 0
    times: list[float] = field(default_factory=list)
    _tail: bytes = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        head = f"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(self.body)}\r\n\r\n"
        self._transport = transport
        transport.write(head.encode() + self.body)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        lines = data.count(b"}\n\r\n")
        self.objects += lines
        if self.keep_times:
            self.times.extend([time.perf_counter()] * lines)
        self._tail = (self._tail + data)[-8:]
        if self._tail.endswith(b"0\r\n\r\n") and not self.done.done():
            self._transport.close()
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the stream was cut"))


async def streams(urls: Sequence[str], count: int, tokens: int, *, keep_times: bool) -> list[Reader]:
    """`count` streams on each instance at once, read to their ends."""
    loop = asyncio.get_running_loop()
    readers: list[Reader] = []
    for number, url in ((n, u) for u in urls for n in range(count)):
        message = {"role": "user", "content": f"question {number}"}
        body = {"model": MODEL, "messages": [message], "options": {"num_predict": tokens}}
        where = urlsplit(url)
        reader = Reader(json.dumps(body).encode(), keep_times)
        await loop.create_connection(partial(_same, reader), where.hostname or "", where.port or 0)
        readers.append(reader)
    await asyncio.gather(*(reader.done for reader in readers))
    return readers


async def beside_a_timer(
    urls: Sequence[str], count: int, tokens: int, step_s: float
) -> tuple[list[Reader], list[float]]:
    """`streams` with their times, and those at which a timer of this process rang meanwhile."""
    rung: list[float] = []
    reading = asyncio.ensure_future(streams(urls, count, tokens, keep_times=True))
    next_s = time.perf_counter()
    while not reading.done():
        next_s += step_s
        await asyncio.sleep(next_s - time.perf_counter())
        rung.append(time.perf_counter())
    return reading.result(), rung


def _off_ms(times: Sequence[float], step_s: float) -> list[float]:
    return [abs(b - a - step_s) * 1000 for a, b in pairwise(times)]


def _same(reader: Reader) -> Reader:
    return reader


def instant(report: Report, *, quick: bool) -> tuple[float, float]:
    """One instance whose tokens take no time: (tokens a second, its processor time for one in us)."""
    rows: list[tuple[int, int, float, float, float]] = []
    for count in (1, 12, 48):
        tokens = (4_000 if quick else 20_000) // (1 if count == 1 else 4)
        with emulators(1, time_scale=0, num_parallel=count, reply={"mode": "endless"}) as fleet:
            uvloop.run(streams(fleet.urls, count, 10, keep_times=False))
            began, cpu_s = time.perf_counter(), fleet.cpu_s()
            readers = uvloop.run(streams(fleet.urls, count, tokens, keep_times=False))
            took_s, cpu_s = time.perf_counter() - began, fleet.cpu_s() - cpu_s
        total = sum(reader.objects for reader in readers)
        rows.append((count, total, took_s, total / took_s, cpu_s / total * 1e6))
    columns = ("streams", "objects", "s", "tokens/s", "its CPU us/token")
    report.table("Instant tokens, one instance", columns, rows, key="instant")
    return max(row[3] for row in rows), min(row[4] for row in rows)


def paced(report: Report, preset: str, instances: int, slots: int, tokens: int) -> tuple[float, float]:
    """(ms that the emulator adds to the 99th percentile of gaps, share of a realistic pace it kept)."""
    step_s = slots / PRESETS[preset].speeds.decode_tps(slots)
    with emulators(instances, preset=preset, num_parallel=slots, reply={"mode": "endless"}) as fleet:
        uvloop.run(streams(fleet.urls, slots, 2, keep_times=False))
        began, cpu_s = time.perf_counter(), fleet.cpu_s()
        readers, rung = uvloop.run(beside_a_timer(fleet.urls, slots, tokens, step_s))
        cores = (fleet.cpu_s() - cpu_s) / (time.perf_counter() - began)
    full = [reader.times[2:-slots] for reader in readers]
    off, bare = [late for times in full for late in _off_ms(times, step_s)], _off_ms(rung, step_s)
    rate = sum((len(times) - 1) / (times[-1] - times[0]) for times in full)
    share = rate * step_s / (instances * slots)
    rows = [
        ("streams", f"{instances} x {slots}"),
        ("step, ms", step_s * 1000),
        *((f"gap off by, p{q}, ms", percentile(off, q)) for q in (50, 95, 99)),
        *((f"a bare timer's, p{q}, ms", percentile(bare, q)) for q in (50, 95, 99)),
        ("tokens/s", rate),
        ("share of the pace kept", share),
        ("cores used by all instances", cores),
    ]
    report.table(f"Pace, {preset}", ("what", "value"), rows, key=f"paced {preset} {instances}x{slots}")
    return percentile(off, 99) - percentile(bare, 99), share


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, check."""
    args = arguments("Whether the Ollama emulator is ever the bottleneck.", argv)
    report = Report("bench_emulator")
    best, cpu_us = instant(report, quick=args.quick)
    tokens = 150 if args.quick else 500
    late_ms, share = paced(report, "7b-4090", 3, 4, tokens)
    _, share12 = paced(report, "7b-4090", 3, 12, tokens)
    paced(report, "paced-5ms", 1, 100, tokens)
    report.bar("instant tokens a second, one instance", best, at_least=30_000)
    report.bar("its processor time for a token, us", cpu_us, at_most=30.0)
    report.bar("3 x 4 slots: 99th percentile of gaps, beyond a bare timer's, ms", late_ms, at_most=10.0)
    report.bar("3 x 4 slots: share of the pace kept", share, at_least=0.97)
    report.bar("3 x 12 slots: share of the pace kept", share12, at_least=0.97)
    return report.finish(args)


if __name__ == "__main__":
    sys.exit(main())
