"""A private PostgreSQL server for tests; skipped where there is none, an error in CI."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from devstack import postgres
from devstack.child import free_port
from tests.support.needed import missing

__all__ = ["PostgresServer", "free_port", "missing", "postgres_server", "running_postgres"]


@dataclass(slots=True)
class PostgresServer:
    """A server that goes away and comes back with its data."""

    place: Path
    port: int
    running: ExitStack = field(default_factory=ExitStack)

    @property
    def url(self) -> str:
        return postgres.url(self.port)

    def start(self) -> None:
        self.running.enter_context(postgres.postgres_on(self.place, self.port))

    def stop(self) -> None:
        """At once, every connection with it."""
        self.running.close()


@contextmanager
def postgres_server(*, tls: bool = False) -> Iterator[str]:
    """Yields an SQLAlchemy URL of an empty database; `tls`: with a certificate that it made."""
    if postgres.program() is None:
        missing("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    with postgres.postgres_server(tls=tls) as url:
        yield url


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """An empty one of which faults are made."""
    if postgres.program() is None:
        missing("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    with postgres.postgres_data() as place:
        server = PostgresServer(place, free_port())
        server.start()
        try:
            yield server
        finally:
            server.stop()
