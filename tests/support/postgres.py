"""A private PostgreSQL server on a free port, as an unprivileged user; skipped where there is none."""

import glob
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def _program(name: str) -> str | None:
    found = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))
    return found[-1] if found else shutil.which(name)


def missing(reason: str) -> None:
    """Skip on a laptop, fail in CI."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _unprivileged() -> dict[str, object]:
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


@contextmanager
def postgres_server(*, tls: bool = False) -> Iterator[str]:
    """Yields an SQLAlchemy URL of an empty database; `tls`: with a certificate that it made."""
    initdb, server = _program("initdb"), _program("pg_ctl")
    if initdb is None or server is None:
        missing("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    who = _unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="libri-pg-"))
    if who:
        os.chown(folder, who["user"], who["group"])
    port = free_port()
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=40"
    data = folder / "data"
    run = {"check": True, "capture_output": True, "cwd": "/", "timeout": 60} | who
    try:
        subprocess.run(
            [initdb, "-D", data, "-U", "libri", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"], **run
        )
        if tls:
            _make_certificate(data, run)
            options += " -c ssl=on"
        subprocess.run([server, "-D", data, "-o", options, "-l", folder / "log", "-w", "start"], **run)
        try:
            yield f"postgresql+asyncpg://libri@127.0.0.1:{port}/postgres"
        finally:
            subprocess.run([server, "-D", data, "-m", "immediate", "stop"], **run)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make_certificate(data: Path, run: dict[str, object]) -> None:
    names = ["-subj", "/CN=localhost", "-keyout", data / "server.key", "-out", data / "server.crt"]
    subprocess.run(["openssl", "req", "-new", "-x509", "-nodes", "-days", "2", *names], **run)
    (data / "server.key").chmod(0o600)
