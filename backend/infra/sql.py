"""The SQL database: one engine per process, one metadata for all tables, errors translated."""

from __future__ import annotations

import asyncio
import logging
import re
import sqlite3
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import URL, MetaData, Table, event, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from backend.core import aio
from backend.core.errors import StorageUnavailable
from backend.infra.database_url import understood
from backend.infra.driver import storage_error

if TYPE_CHECKING:  # one of them is loaded with the engine
    from sqlalchemy.dialects import postgresql, sqlite

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_CONNECT_S = 10.0
PATIENCE_S = 15.0
"""Longest that a transaction takes, its connection included; a database that hangs is one that is down."""

SOON_S = 4.0
"""Longest that a question waits for a read that it cannot do without."""

T = TypeVar("T")


class _SqliteConnection(sqlite3.Connection):
    """A connection whose `close` ends its transaction at once.

    SQLite closes for good only when the last statement is gone, and one whose task was cancelled between
    execute and fetch hangs on the cancellation's traceback: without the rollback, its lock was kept until the
    next garbage collection.
    """

    def close(self) -> None:
        with suppress(sqlite3.Error):  # closed already
            self.rollback()
        super().close()


@dataclass(frozen=True, slots=True)
class Connections:
    """How many connections a process has to PostgreSQL: those it keeps, further ones, the wait for one."""

    kept: int = 10
    more: int = 10
    wait_s: float = 5.0


DEFAULT = Connections()


def open_engine(database: str | Path, connections: Connections = DEFAULT) -> AsyncEngine:
    """An engine for an address, or a file of SQLite: with WAL, foreign keys and a 5 s wait for its lock.

    Its errors do not quote parameters: those are what readers wrote.

    Raises:
        Misconfigured: No database of ours has that address.
    """
    if isinstance(database, Path):
        return _sqlite(URL.create("sqlite+aiosqlite", database=str(database)))
    found = understood(database)
    if not found.url.startswith("sqlite"):
        return create_async_engine(
            found.url,
            connect_args={"timeout": _CONNECT_S, **found.connect},
            pool_pre_ping=True,
            pool_size=connections.kept,
            max_overflow=connections.more,
            pool_timeout=connections.wait_s,
            hide_parameters=True,
        )
    return _sqlite(make_url(found.url))


def _sqlite(url: URL) -> AsyncEngine:
    connect_args = {"timeout": 5, "factory": _SqliteConnection}
    engine = create_async_engine(url, connect_args=connect_args, hide_parameters=True)

    @event.listens_for(engine.sync_engine, "connect")
    def _pragmas(connection, _record) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    logging.getLogger("sqlalchemy.pool.impl.AsyncAdaptedQueuePool").addFilter(_is_news)
    return engine


def _is_news(record: logging.LogRecord) -> bool:
    """Not that Ctrl+C stopped a connection from closing: it ends with the process."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


async def check(engine: AsyncEngine) -> None:
    """Open an SQLite file once, by the standard library.

    The driver answers a failed open once more, from its thread: into a loop that a command which gives up has
    closed by then, with a traceback on the terminal.

    Raises:
        StorageUnavailable: It cannot be opened, or is no database.
    """
    if engine.dialect.name != "sqlite" or engine.url.query:  # what a query changes, only the driver knows
        return
    try:
        await asyncio.to_thread(_open_once, engine.url.database or ":memory:")
    except sqlite3.Error as exc:
        raise StorageUnavailable("the database does not answer") from exc


def _open_once(database: str) -> None:
    with closing(sqlite3.connect(database, timeout=5)) as connection:
        connection.execute("PRAGMA schema_version").fetchall()


@asynccontextmanager
async def transaction(
    engine: AsyncEngine, *, timeout_s: float | None = PATIENCE_S
) -> AsyncIterator[AsyncConnection]:
    """One transaction: committed at the end, rolled back on any error.

    Args:
        engine: Of the database.
        timeout_s: Longest that it takes in all; None: for ever.

    Raises:
        StorageFull: The disk has no room.
        StorageUnavailable: The database does not answer in time, or is locked too long.
        IntegrityError: As it is, for callers that count on it.
    """
    try:
        async with asyncio.timeout(timeout_s), engine.begin() as connection:
            yield connection
    except IntegrityError:
        raise
    except (DBAPIError, SQLAlchemyError, OSError, TimeoutError) as exc:
        raise storage_error(exc) from exc


async def soon(reading: Coroutine[Any, Any, T]) -> T:
    """What a question waits for.

    Raises:
        StorageUnavailable: It took longer than `SOON_S`.
    """
    try:
        return await aio.soon(SOON_S, reading)
    except TimeoutError as exc:
        raise StorageUnavailable("the database does not answer") from exc


def reason(exc: BaseException | None) -> str:
    """Why the database does not answer, in its driver's words: one line, without parameters."""
    words = str(getattr(exc, "orig", None) or exc or "").strip().partition("\n")[0]
    words = re.sub(r"^(\([\w.]+\)|<class '[\w.]+'>:)\s*", "", words)
    return words[:300] or "it was silent for too long"


def insert(engine: AsyncEngine, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that knows `on_conflict_do_update`, which both databases spell alike."""
    known: postgresql.Insert | sqlite.Insert = import_module(
        f"sqlalchemy.dialects.{engine.dialect.name}"
    ).insert(table)
    return known
