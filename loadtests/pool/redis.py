"""A real Redis of a run or a test: empty, without persistence; it can hang, forget, die and come back."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class RedisServer:
    """A server of which faults are made."""

    program: str
    port: int
    folder: str
    process: subprocess.Popen[bytes] = field(init=False)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self, within_s: float = 30.0) -> None:
        """Start it, empty.

        Raises:
            RuntimeError: It does not answer.
        """
        persist = ["--save", "", "--appendonly", "no", "--dir", self.folder]
        self.process = subprocess.Popen(
            [self.program, "--port", str(self.port), "--bind", "127.0.0.1", *persist],
            stdout=subprocess.DEVNULL,
        )
        until = time.monotonic() + within_s
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError("redis-server did not start")
            time.sleep(0.02)

    def hang(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def forget(self) -> None:
        """Lose all data, and no connection.

        Raises:
            RuntimeError: It did not.
        """
        if self._said(b"FLUSHALL") != b"+OK\r\n":
            raise RuntimeError("redis-server did not forget")

    def _answers(self) -> bool:
        try:
            return self._said(b"PING").startswith(b"+PONG")
        except OSError:
            return False

    def _said(self, command: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
            connection.sendall(command + b"\r\n")
            return connection.recv(16)


def is_installed() -> bool:
    return shutil.which("redis-server") is not None


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    """A running server, gone at the end.

    Raises:
        RuntimeError: It is not installed, or did not start.
    """
    program = shutil.which("redis-server")
    if program is None:
        raise RuntimeError("redis-server is not installed")
    with tempfile.TemporaryDirectory(prefix="libri-redis-") as folder:
        server = RedisServer(program, _free_port(), folder)
        server.start()
        try:
            yield server
        finally:
            server.go_on()
            server.kill()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
