"""Commands in processes of their own that import nothing: one process has, and forks for each.

A start of the interpreter with all that the application imports takes three seconds of CPU. What depends on
the start itself (what is imported, signals before it is done, the environment of imports) is tested by
`tests.support.console.run`, and so is each kind of command once.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from devstack.child import Command, StartError, running, where_we_are_found

_ROOT = Path(__file__).parents[2]
_START_S = 120.0
_MESSAGE_BYTES = 1 << 18
_PARENT_DIED = 1
"""`PR_SET_PDEATHSIG` of prctl(2)."""
_IMPORTED = ("serve", "ingest", "ask", "doctor", "calibrate", "configuration", "keys", "models", "pool")


@dataclass(slots=True)
class Forked:
    """A command that was started here: as much of `subprocess.Popen` as tests use."""

    pid: int
    connection: socket.socket
    returncode: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status; a signal's number, negative, if that ended it.

        Raises:
            TimeoutError
        """
        if self.returncode is None:
            self.connection.settimeout(timeout)
            self.returncode = int(self.connection.recv(64))
        return self.returncode

    def poll(self) -> int | None:
        """Its exit status; None while it runs."""
        with suppress(TimeoutError, BlockingIOError):
            return self.wait(0)
        return None

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class Forks:
    """The process that forks."""

    address: str

    def start(self, environment: Mapping[str, str], *arguments: str, out: int, err: int) -> Forked:
        """A command that goes on by itself, with these files to write to."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.connect(self.address)
        order = json.dumps({"environment": dict(environment), "arguments": arguments})
        socket.send_fds(connection, [order.encode()], [out, err])
        return Forked(int(connection.recv(64)), connection)

    def run(
        self, environment: Mapping[str, str], *arguments: str, timeout_s: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """One command, to its end: as `console.run`."""
        with _scratch() as out, _scratch() as err:
            child = self.start(environment, *arguments, out=out, err=err)
            try:
                status = child.wait(timeout_s)
            finally:
                child.kill()
                child.connection.close()
            return subprocess.CompletedProcess(arguments, status, _text(out), _text(err))

    @contextmanager
    def serving(self, environment: Mapping[str, str]) -> Iterator[tuple[Forked, str]]:
        """A server and its address; killed at the end if it still runs: as `console.serving`."""
        address = Path(environment["LIBRI_DATA__DIR"]) / "server.json"
        address.unlink(missing_ok=True)
        with _scratch() as log:
            child = self.start(environment, "serve", out=log, err=log)
            try:
                deadline = time.monotonic() + _START_S
                while not address.exists():
                    if child.poll() is not None or time.monotonic() > deadline:
                        raise StartError(_text(log))
                    time.sleep(0.02)
                yield child, str(json.loads(address.read_text("utf-8"))["url"])
            finally:
                child.kill()
                child.wait(_START_S)
                child.connection.close()


@contextmanager
def forks(folder: Path) -> Iterator[Forks]:
    """The process that forks, with its socket in `folder`.

    Raises:
        StartError
    """
    address = folder / "forks"
    command: Command = [sys.executable, "-m", "tests.support.forks", address]
    with running("forks", command, folder=folder, environment=where_we_are_found(), cwd=_ROOT) as child:
        child.until(lambda: address.exists() or None, _START_S)
        yield Forks(str(address))


@contextmanager
def _scratch() -> Iterator[int]:
    descriptor = os.memfd_create("output")
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _text(descriptor: int) -> str:
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, size, 0).decode(errors="replace")


def _serve(address: str) -> None:
    for name in _IMPORTED:
        import_module(f"backend.cli.{name}")
    import_module("backend.wiring.services")
    import_module("backend.retrieval.chroma")
    import_module("backend.infra.language").load()
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server.bind(f"{address}.new")
    server.listen(32)
    os.rename(f"{address}.new", address)
    while True:
        connection, _ = server.accept()
        order, files, *_ = socket.recv_fds(connection, _MESSAGE_BYTES, 2)
        if os.fork() == 0:
            server.close()
            _look_after(connection, json.loads(order), files)
        connection.close()
        for file in files:
            os.close(file)


def _look_after(connection: socket.socket, order: dict, files: list[int]) -> None:
    """In a process between: tells the number of the command's process, and how it ended."""
    _die_with_parent()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        connection.close()
        _become(order["environment"], order["arguments"], files)
    connection.send(str(pid).encode())
    _, status = os.waitpid(pid, 0)
    with suppress(BrokenPipeError):
        connection.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _become(environment: dict[str, str], arguments: list[str], files: list[int]) -> NoReturn:
    _die_with_parent()
    os.setsid()
    for descriptor, file in zip((1, 2), files, strict=True):
        os.dup2(file, descriptor)
    os.closerange(3, 256)
    os.environ.clear()
    os.environ.update(environment)
    raise SystemExit(import_module("backend.__main__").main(arguments))


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PARENT_DIED, signal.SIGKILL)


if __name__ == "__main__":
    _serve(sys.argv[1])
