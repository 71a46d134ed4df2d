"""A private PostgreSQL server for tests; skipped where there is none, an error in CI."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from devstack import postgres
from devstack.child import free_port
from tests.support.needed import missing

__all__ = ["free_port", "missing", "postgres_server"]


@contextmanager
def postgres_server(*, tls: bool = False) -> Iterator[str]:
    """Yields an SQLAlchemy URL of an empty database; `tls`: with a certificate that it made."""
    if postgres.program() is None:
        missing("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    with postgres.postgres_server(tls=tls) as url:
        yield url
