"""What a reader who goes away may leave behind in a real SQLite file: nothing."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import threading

import pytest
from sqlalchemy import event, text

from backend.infra.sql import open_engine, transaction


@pytest.fixture
async def file(tmp_path):
    file = tmp_path / "test.db"
    engine = open_engine(f"sqlite+aiosqlite:///{file}")
    async with transaction(engine) as sql:
        await sql.execute(text("CREATE TABLE loans (book TEXT)"))
    await engine.dispose()
    return file


@pytest.fixture
def no_gc():
    """A busy server's collector runs seldom; nothing may wait for it."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_gc")
@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO loans VALUES (pause()) RETURNING book",
        "INSERT INTO loans VALUES (pause())",
        "SELECT pause() FROM loans",
    ],
)
async def test_a_transaction_cancelled_in_a_statement_leaves_no_lock_behind(file, statement):
    engine = open_engine(f"sqlite+aiosqlite:///{file}")
    reached, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def pause():
        loop.call_soon_threadsafe(reached.set)
        return str(go_on.wait(10))

    @event.listens_for(engine.sync_engine, "connect")
    def _(connection, _record):
        connection.create_function("pause", 0, pause)

    async def borrow():
        async with transaction(engine) as sql:
            await sql.execute(text("INSERT INTO loans VALUES ('first')"))
            await sql.execute(text(statement))

    task = asyncio.ensure_future(borrow())
    await reached.wait()
    task.cancel()
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.wait([task])
    assert task.cancelled()
    with sqlite3.connect(file, timeout=0) as other:
        other.execute("INSERT INTO loans VALUES ('second')")
    assert other.execute("SELECT book FROM loans").fetchall() == [("second",)]
    other.close()
    await engine.dispose()
