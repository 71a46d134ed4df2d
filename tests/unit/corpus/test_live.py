"""Live views in memory: fresh enough, never older than a change of one's own, there when SQL is not."""

from __future__ import annotations

import asyncio

import pytest

from backend.core.errors import StorageUnavailable
from backend.corpus.base import CorpusRef, LiveView
from backend.corpus.live import LiveViews
from tests.support.manual_clock import ManualClock

BOOKS = CorpusRef("acme", "books")


class Table:
    """What SQL holds; counts what is asked."""

    def __init__(self) -> None:
        self.view = LiveView("v1", frozenset({"r1"}))
        self.asked: list[str] = []
        self.down = False
        self.gate: asyncio.Event | None = None

    async def read(self, corpus: CorpusRef) -> LiveView:
        self._ask("view")
        view = self.view
        if self.gate is not None:
            await self.gate.wait()
        return view

    async def version(self, corpus: CorpusRef) -> str:
        self._ask("version")
        return self.view.version

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if self.down:
            raise StorageUnavailable


@pytest.fixture
def table():
    return Table()


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def views(table, clock):
    return LiveViews(clock, table.read, table.version)


async def test_within_a_second_nothing_is_asked(views, table, clock):
    for _ in range(5):
        await views.get(BOOKS)
        clock.advance(0.19)
    assert table.asked == ["view"]


async def test_after_a_second_only_the_version_is_asked(views, table, clock):
    await views.get(BOOKS)
    clock.advance(1)
    await views.get(BOOKS)
    assert table.asked == ["view", "version"]


async def test_a_change_elsewhere_is_loaded(views, table, clock):
    await views.get(BOOKS)
    table.view = LiveView("v2", frozenset({"r2"}))
    clock.advance(1)
    assert await views.get(BOOKS) == table.view


async def test_all_who_come_together_after_a_while_wait_for_one_look(views, table, clock):
    await views.get(BOOKS)
    table.view = LiveView("v2", frozenset({"r2"}))
    clock.advance(3600)
    table.gate = asyncio.Event()
    together = [asyncio.ensure_future(views.get(BOOKS)) for _ in range(5)]
    await asyncio.sleep(0.01)
    assert not any(one.done() for one in together)
    table.gate.set()
    assert [await one for one in together] == [table.view] * 5
    assert table.asked == ["view", "version", "view"]


async def test_a_slow_look_goes_on_for_those_who_come_later(views, table, clock):
    known = await views.get(BOOKS)
    table.view = LiveView("v2", frozenset({"r2"}))
    table.gate = asyncio.Event()
    clock.advance(1)
    assert await views.get(BOOKS) == known
    clock.advance(0.6)
    assert await views.get(BOOKS) == known
    table.gate.set()
    await asyncio.sleep(0.01)
    assert await views.get(BOOKS) == table.view


async def test_the_known_view_is_served_while_sql_is_down_and_sql_asked_once_a_second(views, table, clock):
    known = await views.get(BOOKS)
    table.down = True
    clock.advance(1)
    assert [await views.get(BOOKS) for _ in range(10)] == [known] * 10
    assert table.asked == ["view", "version"]


async def test_a_corpus_never_loaded_cannot_be_served_while_sql_is_down(views, table):
    table.down = True
    with pytest.raises(StorageUnavailable):
        await views.get(BOOKS)


async def test_a_change_of_ours_is_exact_at_once(views, table):
    await views.get(BOOKS)
    views.changed(BOOKS, "v1", "v2", out="r1", into="r2")
    assert await views.get(BOOKS) == LiveView("v2", frozenset({"r2"}))
    assert table.asked == ["view"]


async def test_a_change_on_top_of_one_we_missed_loads_all_again(views, table):
    await views.get(BOOKS)
    table.view = LiveView("v3", frozenset({"r1", "r2", "r3"}))
    views.changed(BOOKS, "v2", "v3", out=None, into="r3")
    assert await views.get(BOOKS) == table.view


async def test_a_read_that_a_change_of_ours_overtook_is_not_kept(views, table):
    table.gate = asyncio.Event()
    slow = asyncio.ensure_future(views.get(BOOKS))
    await asyncio.sleep(0)
    table.view = LiveView("v2", frozenset({"r2"}))
    views.changed(BOOKS, "v1", "v2", out="r1", into="r2")
    table.gate.set()
    assert await slow == table.view
    assert await views.get(BOOKS) == table.view
