"""Which instances there are, as operators change them."""

from __future__ import annotations

import pytest

from backend.core.errors import Conflict, EngineUnreachable, NotFound, SlotsUnavailable
from backend.engines.scripted import ScriptedEngine
from backend.pool.base import Instance
from backend.pool.board.memory import MemoryBoard
from backend.pool.roster import Roster
from backend.pool.slots.base import View
from tests.support.asks import an_instance
from tests.support.pool import a_pool

ENGINE = ScriptedEngine()


def make(id: str, engine: str, url: str, slots: int) -> Instance:
    return an_instance(ENGINE, id, slots=slots, url=url.rstrip("/"))


def a_roster(board: MemoryBoard | None = None) -> Roster:
    """That of one process; those over one board are of one pool."""
    configured = [an_instance(ENGINE, "one", url="http://one"), an_instance(ENGINE, "two", url="http://two")]
    return Roster(configured, board or MemoryBoard(), make)


def addresses(roster: Roster) -> dict[str, str]:
    return {id: one.endpoint.url for id, one in roster.instances.items()}


async def test_what_one_process_is_told_the_others_read():
    board = MemoryBoard()
    here, there = a_roster(board), a_roster(board)
    await here.add("new", url="http://new", engine="ollama", slots=3)
    await here.drain("one")
    await here.remove("two")
    await there.read()
    assert addresses(there) == {"one": "http://one", "new": "http://new"}
    assert there.instances["new"].slots == 3
    assert there.draining == {"one"}
    await there.resume("one")
    await here.read()
    assert here.draining == frozenset()


async def test_neither_a_name_nor_an_address_is_there_twice():
    roster = a_roster()
    for id, url in (("one", "http://other"), ("other", "http://one"), ("other", "http://two/")):
        with pytest.raises(Conflict):
            await roster.add(id, url=url, engine="ollama", slots=1)
    assert set(roster.instances) == {"one", "two"}


async def test_the_name_of_one_that_was_removed_may_be_given_to_another():
    roster = a_roster()
    for id in ("one", "new"):
        if id == "new":
            await roster.add("new", url="http://new", engine="ollama", slots=1)
        await roster.remove(id)
        with pytest.raises(NotFound):
            await roster.resume(id)
        await roster.add(id, url="http://elsewhere", engine="ollama", slots=2)
        assert addresses(roster)[id] == "http://elsewhere"
        await roster.remove(id)
        assert id not in roster.instances


async def test_what_has_not_changed_stays_the_same_object():
    roster = a_roster()
    await roster.add("new", url="http://new", engine="ollama", slots=1)
    before = roster.instances["new"]
    await roster.read()
    assert roster.instances["new"] is before


async def test_an_instance_inherits_nothing_from_one_of_the_same_name():
    dead = ScriptedEngine(models=EngineUnreachable())
    async with a_pool(an_instance(ENGINE, "one"), an_instance(dead, "gone", url="http://gone")) as it:
        assert (await it.instance("gone")).health == "open"
        await it.operator.remove("gone")
        await it.operator.add("gone", url="http://back", engine="scripted", slots=1)
        again = await it.instance("gone")
        assert (again.health, again.reason, again.address) == ("closed", "", "http://back")


async def test_adding_one_does_not_count_against_another_that_is_down():
    dead = ScriptedEngine(models=EngineUnreachable())
    async with a_pool(an_instance(ENGINE, "one"), an_instance(dead, "down", url="http://down")) as it:
        before = it.keeper.known()["down"].health
        await it.operator.add("new", url="http://new", engine="scripted", slots=1)
        assert it.keeper.known()["down"].health == before


async def test_nothing_is_changed_that_other_processes_would_not_hear_of():
    async with a_pool(an_instance(ENGINE, "one")) as it:
        it.keeper.view = View(shared=False)
        for act in (it.operator.drain, it.operator.resume, it.operator.remove):
            with pytest.raises(SlotsUnavailable):
                await act("one")
        with pytest.raises(SlotsUnavailable):
            await it.operator.add("new", url="http://new", engine="scripted", slots=1)
        it.keeper.view = View()
        assert not (await it.instance("one")).draining
