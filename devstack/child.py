"""A process that was started here: what it says goes to a file, its start and its end have deadlines."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from devstack import warden

T = TypeVar("T")
Command = Sequence[str | Path]
LOOK_S = 0.02
LOG_TAIL = 2000
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Asks this machine, whatever proxy the environment names."""


class StartError(RuntimeError):
    """A server is not installed, ended while it started, or did not answer in time."""


@dataclass(slots=True)
class Child:
    """A process in a group of its own.

    Attributes:
        log: Everything it says.
        is_over: It was ended here.
    """

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    is_over: bool = False

    @property
    def pid(self) -> int:
        return self.process.pid

    def until(self, found: Callable[[], T | None], within_s: float) -> T:
        """The first thing that `found` returns; refused connections are waited out.

        Raises:
            StartError: It ended, or nothing was found in time; with the end of its log.
        """
        deadline = time.monotonic() + within_s
        while self.process.poll() is None and time.monotonic() < deadline:
            with suppress(OSError):
                if (result := found()) is not None:
                    return result
            time.sleep(LOOK_S)
        status = self.process.poll()
        why = f"did not answer within {within_s:g} s" if status is None else f"ended with status {status}"
        raise StartError(f"{self.name} {why}; the end of its log:\n{self.said()[-LOG_TAIL:]}")

    def said(self) -> str:
        """Its log so far."""
        return self.log.read_text("utf-8", errors="replace")

    def first_line(self) -> str | None:
        """The first line that it said, once it is whole."""
        line, end, _ = self.said().partition("\n")
        return line if end else None

    def stop(self, *, ask: signal.Signals = signal.SIGTERM, within_s: float = 10.0) -> None:
        """Ask it to end; kill it, and whatever it started, when it does not."""
        if self.process.poll() is None:
            self.process.send_signal(ask)
            self.process.send_signal(signal.SIGCONT)  # it may have been halted by a test
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(within_s)
        self.kill()

    def kill(self) -> None:
        """End it at once, and whatever it started. Once only: later its number may be anybody's."""
        if self.is_over:
            return
        self.is_over = True
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()
        warden.release(self.pid)


def start(
    name: str,
    command: Command,
    *,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    last: signal.Signals = signal.SIGKILL,
    **options: Any,
) -> Child:
    """Start it; its log is `name`.log in `folder`.

    Args:
        environment: All of it; None: ours.
        last: What it gets if we are killed.
        options: More for `subprocess.Popen`.
    """
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True, **options,
        )  # fmt: skip
    warden.guard(process.pid, last)
    return Child(name, process, log)


@contextmanager
def running(
    name: str,
    command: Command,
    *,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    ask: signal.Signals = signal.SIGTERM,
    **options: Any,
) -> Iterator[Child]:
    """As `start`, and stopped at the end."""
    child = start(name, command, folder=folder, environment=environment, **options)
    try:
        yield child
    finally:
        child.stop(ask=ask)


def where_we_are_found() -> dict[str, str]:
    """The environment of a process that runs a module of this checkout, wherever it was started."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}


@asynccontextmanager
async def in_thread(server: AbstractContextManager[T]) -> AsyncIterator[T]:
    """Any server of this package, for a loop that goes on while it starts and stops."""
    running = await asyncio.to_thread(server.__enter__)
    try:
        yield running
    finally:
        await asyncio.to_thread(server.__exit__, None, None, None)


@contextmanager
def placed(folder: Path | None, kind: str) -> Iterator[Path]:
    """`folder`, made if need be; None: a temporary one, gone at the end."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix=f"libri-{kind}-") as name:
        warden.discard(Path(name))
        yield Path(name)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses now."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """As many different ones."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for free in sockets:
            free.bind(("127.0.0.1", 0))
        return [int(free.getsockname()[1]) for free in sockets]


def listens(port: int) -> bool | None:
    """True once somebody takes connections there."""
    socket.create_connection(("127.0.0.1", port), 1.0).close()
    return True


def answers(url: str) -> bool | None:
    """True once a GET there is answered with 200."""
    try:
        with _DIRECT.open(url, timeout=5.0) as answer:
            return True if answer.status == 200 else None
    except urllib.request.HTTPError:
        return None
