"""A real Redis, empty and without persistence; it can hang, forget, die and come back."""

from __future__ import annotations

import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from devstack.child import Child, StartError, free_port, placed, start

_START_S = 30.0


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
        places = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        command = [self.program, *places, "--save", "", "--appendonly", "no"]
        self.child = start("redis", command, folder=self.folder)
        self.child.until(self._answers, _START_S)

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
        if self._said(b"FLUSHALL") != b"+OK\r\n":
            raise RuntimeError("redis-server did not forget")

    def _answers(self) -> bool | None:
        return self._said(b"PING").startswith(b"+PONG") or None

    def _said(self, command: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
            connection.sendall(command + b"\r\n")
            return connection.recv(16)


def program() -> str | None:
    """Where it is; None: not installed."""
    return shutil.which("redis-server")


@contextmanager
def redis_server(folder: Path | None = None) -> Iterator[RedisServer]:
    """A running server.

    Raises:
        StartError
    """
    found = program()
    if found is None:
        raise StartError("redis-server is not installed")
    with placed(folder, "redis") as place:
        server = RedisServer(found, free_port(), place)
        server.start()
        try:
            yield server
        finally:
            server.kill()
