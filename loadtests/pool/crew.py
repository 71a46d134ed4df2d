"""Client processes that begin together and share the arrivals, as replicas behind a load balancer do."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from loadtests.pool.arrivals import Arrival
from loadtests.pool.job import Job, write_job
from loadtests.pool.records import Record, read_records

HEADWAY_S = 0.5
"""Between the word to start and the start, so that every process has read it."""


@dataclass(slots=True)
class Crew:
    """Running client processes; `processes[i].pid` can be killed by a scenario of faults."""

    processes: list[subprocess.Popen[str]]
    files: list[Path]

    def begin(self) -> float:
        """Wait until all are ready, start them; the common start, in monotonic seconds.

        Raises:
            RuntimeError: One of them did not get ready.
        """
        for child in self.processes:
            assert child.stdout is not None
            if child.stdout.readline() != "ready\n":
                raise RuntimeError("a client process did not get ready; its error stands above")
        start_s = time.monotonic() + HEADWAY_S
        for child in self.processes:
            assert child.stdin is not None
            child.stdin.write(f"{start_s}\n")
            child.stdin.flush()
        return start_s

    def finish(self, within_s: float) -> list[Record]:
        """Wait for all, then everything they wrote.

        Raises:
            subprocess.TimeoutExpired: One of them still has requests open.
        """
        until = time.monotonic() + within_s
        for child in self.processes:
            child.wait(max(0.1, until - time.monotonic()))
        return read_records(self.files)


@contextmanager
def crew(job: Job, arrivals: Sequence[Arrival], count: int) -> Iterator[Crew]:
    """`count` processes with the arrivals dealt out in turns; killed at the end if need be.

    `job` is what is the same for all; its arrivals, process and records are filled in here.
    """
    with tempfile.TemporaryDirectory(prefix="libri-crew-") as folder, ExitStack() as stack:
        members, files = [], []
        for number in range(count):
            files.append(Path(folder) / f"records-{number}.jsonl")
            files[-1].touch()
            own = replace(
                job, process=number, arrivals=tuple(arrivals[number::count]), records=str(files[-1])
            )
            members.append(stack.enter_context(_member(own, Path(folder) / f"job-{number}.json")))
        yield Crew(members, files)


@contextmanager
def _member(job: Job, path: Path) -> Iterator[subprocess.Popen[str]]:
    write_job(job, path)
    command = [sys.executable, "-m", "loadtests.pool.worker", str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield child
        finally:
            child.kill()
