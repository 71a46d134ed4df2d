"""Which instances there are, as operators change them."""

from __future__ import annotations

import pytest

from backend.core.errors import Conflict, EngineUnreachable, NotFound, SlotsUnavailable
from backend.core.instances import InstanceSpec
from backend.engines.scripted import ScriptedEngine
from backend.pool.registry import KIND, Registry
from backend.pool.shared_notes.memory import MemoryNotes
from backend.pool.slots.base import Snapshot
from tests.support.asks import a_registry, an_instance
from tests.support.pool import a_pool

ENGINE = ScriptedEngine()


def of_process(notes: MemoryNotes | None = None, secret: bytes = b"s" * 32) -> Registry:
    configured = [an_instance(ENGINE, "one", url="http://one"), an_instance(ENGINE, "two", url="http://two")]
    return a_registry(configured, notes or MemoryNotes(), secret)


def addresses(registry: Registry) -> dict[str, str]:
    return {id: one.endpoint.url for id, one in registry.instances.items()}


async def test_what_one_process_is_told_the_others_read():
    notes = MemoryNotes()
    here, there = of_process(notes), of_process(notes)
    await here.add(InstanceSpec("new", "ollama", "http://new", slots=3))
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
    registry = of_process()
    for id, url in (("one", "http://other"), ("other", "http://one"), ("other", "http://two/")):
        with pytest.raises(Conflict):
            await registry.add(InstanceSpec(id, "ollama", url, slots=1))
    assert set(registry.instances) == {"one", "two"}


async def test_the_name_of_one_that_was_removed_may_be_given_to_another():
    registry = of_process()
    for id in ("one", "new"):
        if id == "new":
            await registry.add(InstanceSpec("new", "ollama", "http://new", slots=1))
        await registry.remove(id)
        with pytest.raises(NotFound):
            await registry.resume(id)
        await registry.add(InstanceSpec(id, "ollama", "http://elsewhere", slots=2))
        assert addresses(registry)[id] == "http://elsewhere"
        await registry.remove(id)
        assert id not in registry.instances


async def test_what_has_not_changed_stays_the_same_object():
    registry = of_process()
    await registry.add(InstanceSpec("new", "ollama", "http://new", slots=1))
    before = registry.instances["new"]
    await registry.read()
    assert registry.instances["new"] is before


async def test_an_instance_inherits_nothing_from_one_of_the_same_name():
    dead = ScriptedEngine(models=EngineUnreachable())
    async with a_pool(an_instance(ENGINE, "one"), an_instance(dead, "gone", url="http://gone")) as it:
        assert (await it.instance("gone")).health == "open"
        await it.operator.remove("gone")
        await it.operator.add(InstanceSpec("gone", "ollama", "http://back", slots=1))
        again = await it.instance("gone")
        assert (again.health, again.reason, again.address) == ("closed", "", "http://back")


async def test_adding_one_does_not_count_against_another_that_is_down():
    dead = ScriptedEngine(models=EngineUnreachable())
    async with a_pool(an_instance(ENGINE, "one"), an_instance(dead, "down", url="http://down")) as it:
        before = it.controller.knowledge.observed()["down"].health
        await it.operator.add(InstanceSpec("new", "ollama", "http://new", slots=1))
        assert it.controller.knowledge.observed()["down"].health == before


async def test_nothing_is_changed_that_other_processes_would_not_hear_of():
    async with a_pool(an_instance(ENGINE, "one")) as it:
        it.controller.publisher.view = Snapshot(shared=False)
        for act in (it.operator.drain, it.operator.resume, it.operator.remove):
            with pytest.raises(SlotsUnavailable):
                await act("one")
        with pytest.raises(SlotsUnavailable):
            await it.operator.add(InstanceSpec("new", "ollama", "http://new", slots=1))
        it.controller.publisher.view = Snapshot()
        assert not (await it.instance("one")).draining


async def test_credentials_reach_the_other_processes_and_nobody_else():
    notes = MemoryNotes()
    here, there, stranger = of_process(notes), of_process(notes), of_process(notes, b"t" * 32)
    await here.add(InstanceSpec("keyed", "vllm", "http://keyed", "hunter2", models=frozenset("m")))
    await here.add(InstanceSpec("named", "ollama", "http://u:hunter3@named"))
    told = str(await notes.read(KIND))
    assert "hunter" not in told
    assert "u:" not in told
    await there.read()
    assert there.instances["named"].endpoint.url == "http://u:hunter3@named"
    await stranger.read()
    assert set(stranger.instances) == {"one", "two"}, "what it cannot read it leaves out"


async def test_sealed_credentials_go_to_no_other_address_or_instance(caplog):
    notes = MemoryNotes()
    registry = of_process(notes)
    await registry.add(InstanceSpec("a", "openai", "http://a", "hunter2"))
    note = (await notes.read(KIND))["a"]
    await notes.change(KIND, "b", lambda _: {**note, "url": "http://b"})
    await notes.change(KIND, "a", lambda _: {**note, "url": "http://b"})
    await registry.read()
    assert set(registry.instances) == {"one", "two"}
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize(
    "note",
    [
        {},
        {"url": None},
        {"url": 7, "kind": "openai"},
        {"url": "http://x", "kind": ["openai"], "slots": 1},
        {"url": "http://x", "kind": "openai", "slots": "many"},
        {"url": "http://x", "kind": "openai", "slots": True},
        {"url": "http://x", "kind": "openai", "slots": -1},
        {"url": "http://[::1", "kind": "openai", "slots": 1},
        {"url": "http://x", "kind": "openai", "models": {"m": 1}},
        {"url": "http://x", "kind": "openai", "models": [1]},
        {"url": "http://x", "kind": "openai", "served_names": ["m"]},
        {"url": "http://x", "kind": "openai", "served_names": {"m": 1}},
        {"url": "http://x", "kind": "openai", "sealed": 5},
        {"url": "http://x", "kind": "openai", "sealed": "gAAAAA"},
        {"url": "http://u:p@x", "kind": "openai", "slots": 1, "state": ["active"], "sealed": None},
    ],
)
async def test_no_note_that_stands_there_stops_a_process(note):
    notes = MemoryNotes()
    await notes.change(KIND, "odd", lambda _: note)
    registry = of_process(notes)
    await registry.read()
    await registry.read()
    assert set(registry.instances) == {"one", "two"}


async def test_what_a_former_release_noted_is_read_and_what_a_later_one_adds_is_passed_over():
    notes = MemoryNotes()
    former = {"state": "active", "url": "http://former", "engine": "openai", "slots": 2}
    later = {"state": "active", "url": "http://later", "kind": "vllm", "slots": 3, "rack": [1, 2]}
    await notes.change(KIND, "former", lambda _: former)
    await notes.change(KIND, "later", lambda _: later)
    registry = of_process(notes)
    await registry.read()
    assert {id: one.slots for id, one in registry.instances.items()} == {
        "one": 1,
        "two": 1,
        "former": 2,
        "later": 3,
    }
