"""A private PostgreSQL server with one empty database, run as an unprivileged user."""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from devstack.child import Child, Command, StartError, free_port, placed, running

_START_S = 180.0
_QUICK = ("-c", "fsync=off", "-c", "max_connections=200", "-c", "listen_addresses=127.0.0.1")


def program(name: str = "postgres") -> str | None:
    """Where one of its programs is; None: not installed. Debian does not put all of them on the path."""
    found = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))
    return found[-1] if found else shutil.which(name)


@contextmanager
def postgres_server(*, tls: bool = False, folder: Path | None = None) -> Iterator[str]:
    """Yields the URL of an empty database, for SQLAlchemy.

    Args:
        tls: With a certificate that it made.
        folder: Of its log. Its data are where its own user may go, and always gone at the end.

    Raises:
        StartError
    """
    with postgres_data(tls=tls) as place:
        port = free_port()
        with postgres_on(place, port, folder=folder, options=["-c", "ssl=on"] if tls else []):
            yield url(port)


def url(port: int) -> str:
    """The address of the database that a server on this port has, for SQLAlchemy."""
    return f"postgresql+asyncpg://libri@127.0.0.1:{port}/postgres"


@contextmanager
def postgres_data(*, tls: bool = False) -> Iterator[Path]:
    """A folder that its own user may enter, with the data of one empty database; gone at the end.

    Raises:
        StartError
    """
    if (initdb := program("initdb")) is None:
        raise StartError("PostgreSQL is not installed")
    with placed(None, "postgres") as place:
        who = _unprivileged()
        if who:
            os.chown(place, who["user"], who["group"])
        data = place / "data"
        made: Command = [initdb, "-D", data, "-U", "libri", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"]
        _run(made, who)
        if tls:
            _make_certificate(data, who)
        yield place


@contextmanager
def postgres_on(
    place: Path, port: int, *, folder: Path | None = None, options: Sequence[str] = ()
) -> Iterator[Child]:
    """A server on this port, over what `postgres_data` made.

    Args:
        folder: Of its log.
        options: More of its command line.

    Raises:
        StartError
    """
    if (server := program()) is None:
        raise StartError("PostgreSQL is not installed")
    command: Command = [server, "-D", place / "data", "-k", place, "-p", str(port), *_QUICK, *options]
    # SIGQUIT: at once, and what it shares in memory is put away
    quits = signal.SIGQUIT
    with running(
        "postgres", command, folder=folder or place, ask=quits, last=quits, cwd="/", **_unprivileged()
    ) as child:
        child.until(lambda: _is_ready(child), _START_S)
        yield child


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
