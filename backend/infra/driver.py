"""The database by its driver alone, for commands that make a statement or two and shall start at once.

SQLAlchemy takes 0.3 s to import, more than all else that they need. Statements are those that SQLite and
PostgreSQL both know; `$1`, `$2` stand for their values.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Protocol

from backend.core.errors import StorageFull, StorageUnavailable
from backend.infra.database_url import understood

Value = str | float | None
_DISK_FULL: Final = ("disk is full", "disk full", "no space left", "could not extend file")
_SQLITE: Final = "sqlite+aiosqlite:///"
_LOCKED_S: Final = 5.0
_CONNECT_S: Final = 10.0
_ANSWER_S: Final = 15.0
_OF_SQLALCHEMY: Final = ("prepared_statement_cache_size", "prepared_statement_name_func")
"""Arguments that its dialect takes, not the driver."""


class Driver(Protocol):
    """An open database; each statement is a transaction of its own."""

    async def rows(self, statement: str, *values: Value) -> Sequence[Sequence[Any]]:
        """What the statement gives.

        Raises:
            StorageUnavailable, StorageFull
        """


@asynccontextmanager
async def open_driver(database: str | Path) -> AsyncIterator[Driver]:
    """A database that is there already.

    Args:
        database: An address, or a file of SQLite.

    Raises:
        Misconfigured: The address is none.
        StorageUnavailable, StorageFull
    """
    if isinstance(database, Path):
        with closing(_opened(database)) as connection:
            yield _Sqlite(connection)
        return
    found = understood(database)
    if found.url.startswith(_SQLITE):
        with closing(_opened(Path(found.url.removeprefix(_SQLITE)))) as connection:
            yield _Sqlite(connection)
        return
    options = {name: value for name, value in found.connect.items() if name not in _OF_SQLALCHEMY}
    asyncpg = import_module("asyncpg")
    with _translated(asyncpg.PostgresError, asyncpg.InterfaceError):
        connection = await asyncpg.connect(**{"timeout": _CONNECT_S, **options})
    try:
        yield _Postgres(connection, (asyncpg.PostgresError, asyncpg.InterfaceError))
    finally:
        connection.terminate()


def storage_error(exc: BaseException) -> StorageFull | StorageUnavailable:
    """What a driver's error means."""
    if any(mark in str(exc).lower() for mark in _DISK_FULL):
        return StorageFull("no space is left in the database")
    return StorageUnavailable("the database does not answer")


class _Sqlite:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def rows(self, statement: str, *values: Value) -> Sequence[Sequence[Any]]:
        named = {str(number): value for number, value in enumerate(values, 1)}
        return await asyncio.to_thread(self._rows, statement, named)

    def _rows(self, statement: str, named: dict[str, Value]) -> Sequence[Sequence[Any]]:
        with _translated(sqlite3.Error), self._connection as connection:
            return connection.execute(statement, named).fetchall()


class _Postgres:
    def __init__(self, connection: Any, errors: tuple[type[Exception], ...]) -> None:
        self._connection = connection
        self._errors = errors

    async def rows(self, statement: str, *values: Value) -> Sequence[Sequence[Any]]:
        with _translated(*self._errors):
            async with asyncio.timeout(_ANSWER_S):
                found: Sequence[Sequence[Any]] = await self._connection.fetch(statement, *values)
        return found


def _opened(file: Path) -> sqlite3.Connection:
    with _translated(sqlite3.Error):
        address = f"{file.absolute().as_uri()}?mode=rw"
        return sqlite3.connect(address, uri=True, timeout=_LOCKED_S, check_same_thread=False)


@contextmanager
def _translated(*errors: type[Exception]) -> Iterator[None]:
    known: tuple[type[BaseException], ...] = (*errors, OSError, TimeoutError)
    try:
        yield
    except known as exc:
        raise storage_error(exc) from exc
