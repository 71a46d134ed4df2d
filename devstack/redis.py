"""A real Redis, empty and without persistence; it can hang, forget, die and come back."""

from __future__ import annotations

import shutil
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from devstack.child import Child, StartError, free_port, placed, start

_START_S = 120.0
_SLOTS = 16384


@dataclass(slots=True)
class RedisServer:
    """A server of which faults are made."""

    program: str
    port: int
    folder: Path
    options: Sequence[str] = ()
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
        command = [self.program, *places, "--save", "", "--appendonly", "no", *self.options]
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
        if self.said("FLUSHALL") != "+OK\r\n":
            raise RuntimeError("redis-server did not forget")

    def said(self, command: str) -> str:
        """The beginning of its answer to one command."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
            connection.sendall(command.encode() + b"\r\n")
            return connection.recv(1024).decode()

    def _answers(self) -> bool | None:
        return self.said("PING").startswith("+PONG") or None


@dataclass(frozen=True, slots=True)
class RedisCluster:
    """Servers that share the keys, without replicas; one that is away leaves the others serving theirs."""

    servers: Sequence[RedisServer]

    @property
    def url(self) -> str:
        """All of them, as a client may be given them."""
        return ",".join(server.url for server in self.servers)

    def meet(self, buses: Sequence[int]) -> None:
        """Make one cluster of the servers.

        Args:
            buses: The port of each for the others.

        Raises:
            RuntimeError: One refused.
            StartError: They did not find one another.
        """
        edges = [n * _SLOTS // len(self.servers) for n in range(len(self.servers) + 1)]
        first = self.servers[0]
        for n, server in enumerate(self.servers):
            _told(server, f"CLUSTER ADDSLOTSRANGE {edges[n]} {edges[n + 1] - 1}")
            _told(server, f"CLUSTER SET-CONFIG-EPOCH {n + 1}")
            if n:
                _told(first, f"CLUSTER MEET 127.0.0.1 {server.port} {buses[n]}")
        self.wait_until_whole()

    def wait_until_whole(self) -> None:
        """Until each knows that all are there.

        Raises:
            StartError: They did not find one another.
        """
        for server in self.servers:
            server.child.until(lambda server=server: self._is_whole(server), _START_S)  # type: ignore[misc]

    def _is_whole(self, server: RedisServer) -> bool | None:
        said = server.said("CLUSTER INFO")
        parts = "cluster_state:ok", f"cluster_slots_ok:{_SLOTS}", f"cluster_known_nodes:{len(self.servers)}"
        return all(part in said for part in parts) or None


def _told(server: RedisServer, command: str) -> None:
    if (said := server.said(command)) != "+OK\r\n":
        raise RuntimeError(f"redis-server did not do {command!r}: {said.strip()}")


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


@contextmanager
def redis_that_keeps(folder: Path, port: int) -> Iterator[Child]:
    """A server on this port whose data are in `folder`, and there again at the next start.

    Raises:
        StartError
    """
    found = program()
    if found is None:
        raise StartError("redis-server is not installed")
    (data := folder / "redis-data").mkdir(exist_ok=True)
    server = RedisServer(found, port, folder, ["--appendonly", "yes", "--dir", str(data)])
    try:
        server.start()
        yield server.child
    finally:
        server.child.stop()


@contextmanager
def redis_cluster(folder: Path | None = None, *, nodes: int = 3) -> Iterator[RedisCluster]:
    """A running cluster.

    Raises:
        StartError
    """
    found = program()
    if found is None:
        raise StartError("redis-server is not installed")
    with placed(folder, "redis-cluster") as place, ExitStack() as opened:
        servers, buses = [], []
        for n in range(nodes):
            own = place / f"node{n}"
            own.mkdir()
            buses.append(free_port())
            options = (
                "--cluster-enabled yes --cluster-node-timeout 1000 --cluster-require-full-coverage no "
                f"--cluster-port {buses[-1]}"
            )
            server = RedisServer(found, free_port(), own, options.split())
            server.start()
            opened.callback(lambda server=server: server.kill())  # type: ignore[misc]
            servers.append(server)
        cluster = RedisCluster(servers)
        cluster.meet(buses)
        yield cluster
