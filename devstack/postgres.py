"""A private PostgreSQL server with one empty database, run as an unprivileged user."""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devstack.child import Child, Command, StartError, free_port, placed, start

_START_S = 180.0
_QUICK = ("-c", "fsync=off", "-c", "max_connections=200", "-c", "listen_addresses=127.0.0.1")


def program(name: str = "postgres") -> str | None:
    """Where one of its programs is; None: not installed. Debian does not put all of them on the path."""
    found = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))
    return found[-1] if found else shutil.which(name)


@dataclass(slots=True)
class PostgresServer:
    """A server of which faults are made; its database is named postgres."""

    command: Command
    port: int
    folder: Path
    who: dict[str, Any]
    child: Child = field(init=False)

    @property
    def url(self) -> str:
        return f"postgresql+asyncpg://libri@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it with the data that are there.

        Raises:
            StartError
        """
        self.child = start("postgres", self.command, folder=self.folder, cwd="/", **self.who)
        self.child.until(lambda: _is_ready(self.child), _START_S)

    def stop(self) -> None:
        """At once, every connection with it; what was committed is kept."""
        self.child.stop(ask=signal.SIGQUIT)

    def restart(self) -> None:
        """As an update of its package does.

        Raises:
            StartError
        """
        self.stop()
        self.start()

    def hang(self) -> None:
        self.child.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.child.process.send_signal(signal.SIGCONT)


@contextmanager
def postgres_server(*, tls: bool = False, folder: Path | None = None) -> Iterator[str]:
    """Yields the URL of an empty database, for SQLAlchemy; see `postgres`.

    Raises:
        StartError
    """
    with postgres(tls=tls, folder=folder) as server:
        yield server.url


@contextmanager
def postgres(*, tls: bool = False, folder: Path | None = None) -> Iterator[PostgresServer]:
    """A running server with one empty database.

    Args:
        tls: With a certificate that it made.
        folder: Of its log. Its data are where its own user may go, and always gone at the end.

    Raises:
        StartError
    """
    initdb, program_of_it = program("initdb"), program()
    if initdb is None or program_of_it is None:
        raise StartError("PostgreSQL is not installed")
    with placed(None, "postgres") as place:
        who = _unprivileged()
        if who:
            os.chown(place, who["user"], who["group"])
        data, port = place / "data", free_port()
        made: Command = [initdb, "-D", data, "-U", "libri", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"]
        _run(made, who)
        if tls:
            _make_certificate(data, who)
        where: Command = ["-D", data, "-k", place, "-p", str(port)]
        command = [program_of_it, *where, *_QUICK, *(["-c", "ssl=on"] * tls)]
        server = PostgresServer(command, port, folder or place, who)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _unprivileged() -> dict[str, Any]:
    """PostgreSQL refuses to run as root: borrow the account made for it, or nobody."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            account = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    return {}


def _is_ready(child: Child) -> bool | None:
    return "ready to accept connections" in child.said() or None


def _make_certificate(data: Path, who: dict[str, Any]) -> None:
    names: Command = ["-subj", "/CN=localhost", "-keyout", data / "server.key", "-out", data / "server.crt"]
    _run(["openssl", "req", "-new", "-x509", "-nodes", "-days", "2", *names], who)
    (data / "server.key").chmod(0o600)


def _run(command: Command, who: dict[str, Any]) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd="/", timeout=300, **who)
    if done.returncode:
        raise StartError(f"{command[0]} failed: {done.stderr.strip()[-500:]}")
