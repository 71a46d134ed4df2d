"""A private PostgreSQL server for tests; skipped where there is none, an error in CI."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from devstack import postgres
from devstack.child import free_port
from devstack.postgres import PostgresServer
from tests.support.needed import missing

__all__ = ["PostgresServer", "free_port", "missing", "postgres_server", "running_postgres"]


@contextmanager
def postgres_server(*, tls: bool = False) -> Iterator[str]:
    """Yields an SQLAlchemy URL of an empty database; `tls`: with a certificate that it made."""
    with running_postgres(tls=tls) as server:
        yield server.url


@contextmanager
def running_postgres(*, tls: bool = False) -> Iterator[PostgresServer]:
    """A server of which faults can be made, with an empty database."""
    if postgres.program() is None:
        missing("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    with postgres.postgres(tls=tls) as server:
        yield server
