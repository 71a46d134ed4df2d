"""A real Redis: empty, and faults can be made of it; or one that keeps its data."""

from __future__ import annotations

import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from devstack.child import Child, Command, StartError, free_port, placed, running, start

_START_S = 120.0


@dataclass(slots=True)
class RedisServer:
    """A server of which faults are made."""

    program: str
    port: int
    folder: Path
    child: Child = field(init=False)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, empty.

        Raises:
            StartError
        """
        self.child = start("redis", _command(self.program, self.port, self.folder), folder=self.folder)
        self.child.until(lambda: _answers(self.port), _START_S)

    def hang(self) -> None:
        self.child.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.child.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.child.kill()

    def forget(self) -> None:
        """Lose all data, and no connection.

        Raises:
            RuntimeError: It did not.
        """
        if _said(self.port, b"FLUSHALL") != b"+OK\r\n":
            raise RuntimeError("redis-server did not forget")


def program() -> str | None:
    """Where it is; None: not installed."""
    return shutil.which("redis-server")


@contextmanager
def redis_that_keeps(folder: Path, port: int) -> Iterator[Child]:
    """A server on this port whose data are in `folder`, and there again at the next start.

    Raises:
        StartError
    """
    found = _found()
    (data := folder / "redis-data").mkdir(exist_ok=True)
    with running("redis", _command(found, port, data, keeps=True), folder=folder) as child:
        child.until(lambda: _answers(port), _START_S)
        yield child


@contextmanager
def redis_server(folder: Path | None = None) -> Iterator[RedisServer]:
    """A running server.

    Raises:
        StartError
    """
    with placed(folder, "redis") as place:
        server = RedisServer(_found(), free_port(), place)
        server.start()
        try:
            yield server
        finally:
            server.kill()


def _found() -> str:
    if (found := program()) is None:
        raise StartError("redis-server is not installed")
    return found


def _command(found: str, port: int, folder: Path, *, keeps: bool = False) -> Command:
    places = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    return [found, *places, "--save", "", "--appendonly", "yes" if keeps else "no"]


def _answers(port: int) -> bool | None:
    return _said(port, b"PING").startswith(b"+PONG") or None


def _said(port: int, command: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        connection.sendall(command + b"\r\n")
        return connection.recv(16)
