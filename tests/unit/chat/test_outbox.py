"""Writes that are made sooner or later."""

from __future__ import annotations

import asyncio
import time

import pytest

from backend.chat import outbox
from backend.chat.outbox import Outbox
from backend.core.errors import NotFound, StorageUnavailable


class Database:
    """Takes writes while it is there."""

    def __init__(self) -> None:
        self.there = True
        self.made: list[str] = []
        self.attempts = 0

    def write(self, name: str):
        async def make() -> None:
            self.attempts += 1
            await asyncio.sleep(0)
            if not self.there:
                raise StorageUnavailable("away")
            self.made.append(name)

        return make


async def until(condition) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.002)


async def test_a_write_that_is_taken_is_made_at_once() -> None:
    box, database = Outbox(), Database()
    assert await box.make("k", database.write("a"), within_s=10)
    assert database.made == ["a"]


async def test_a_database_that_refuses_at_once_holds_nobody_up() -> None:
    box, database = Outbox(), Database()
    database.there = False
    began = time.monotonic()
    assert not await box.make("k", database.write("a"), within_s=30)
    assert time.monotonic() - began < 10


async def test_writes_of_one_key_are_made_in_order_and_one_that_gets_through_wakes_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outbox, "AGAIN_S", 60.0)
    monkeypatch.setattr(outbox, "AT_LATEST_S", 60.0)
    box, database = Outbox(), Database()
    database.there = False
    for name in ("a1", "a2", "b1"):
        assert not await box.make(name[0], database.write(name), within_s=0.05)
    database.there = True
    assert await box.make("c", database.write("c1"), within_s=10)
    await until(lambda: len(database.made) == 4)
    assert [name for name in database.made if name[0] == "a"] == ["a1", "a2"]


async def test_a_write_that_is_refused_for_good_is_told_and_holds_up_no_other() -> None:
    async def refused() -> None:
        raise NotFound("no such conversation")

    box, database = Outbox(), Database()
    with pytest.raises(NotFound):
        await box.make("k", refused, within_s=10)
    assert await box.make("k", database.write("a"), within_s=10)


async def test_a_defect_is_no_reason_to_try_for_ever() -> None:
    async def broken() -> None:
        raise ValueError("a defect")

    box, database = Outbox(), Database()
    assert not await box.make("k", broken, within_s=10)
    assert await box.make("k", database.write("a"), within_s=10)


async def test_who_is_cancelled_leaves_its_write_behind() -> None:
    box, database = Outbox(), Database()
    database.there = False
    asking = asyncio.ensure_future(box.make("k", database.write("a"), within_s=60))
    await asyncio.sleep(0)
    asking.cancel()
    database.there = True
    await until(lambda: database.made == ["a"])


async def test_at_the_end_each_has_one_more_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "AGAIN_S", 60.0)
    box, database = Outbox(), Database()
    database.there = False
    await box.make("a", database.write("a"), within_s=0.01)
    await box.make("b", database.write("b"), within_s=0.01)
    database.there = True
    await box.close(10)
    assert sorted(database.made) == ["a", "b"]


async def test_what_cannot_be_made_by_the_end_is_given_up() -> None:
    box, database = Outbox(), Database()
    database.there = False
    await box.make("a", database.write("a"), within_s=0.01)
    await box.close(0.05)
    attempts = database.attempts
    await asyncio.sleep(0.01)
    assert database.attempts == attempts
