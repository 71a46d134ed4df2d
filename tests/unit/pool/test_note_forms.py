"""What stands in the shared notes, whoever wrote it, stops no process and ends no round."""

import itertools

import pytest

from backend.core.errors import EngineUnreachable
from backend.engines.base import End, ModelInfo, Text
from backend.engines.scripted import ScriptedEngine
from backend.pool.barred import Bar
from backend.pool.health import Health
from backend.pool.note_forms import BARRED, HEALTH, LOADING, REPORT, Loading
from backend.pool.report import Report
from backend.pool.shared_notes.memory import MemoryNotes
from tests.support.asks import an_instance
from tests.support.pool import a_pool

FORMS = {form.kind: form for form in (HEALTH, REPORT, LOADING, BARRED)}
ODD = [
    {"failures": "many"}, {"open_until": "soon"}, {"since": [1]}, {"models": 7}, {"models": [{"size": 1}]},
    {"models": [None]}, {"loaded": ["m"]}, {"loaded": {"m": "all"}}, {"contexts": {"m": "long"}},
    {"others": {"m": 5}}, {"tokens_per_s": "fast"}, {"used_at": {"m": "now"}}, {"model": 5, "until": "x"},
    {"failed": ["m"]}, {"m": 5}, {"m": [1]}, {"m": ["x", "y", "z"]}, {"": None}, {"reason": {"a": 1}},
]  # fmt: skip


@pytest.mark.parametrize(("kind", "note"), list(itertools.product(FORMS, ODD)))
async def test_no_note_ends_a_round(kind, note):
    FORMS[kind].read(note)
    notes = MemoryNotes()
    for name in ("one", "nobody"):
        await notes.change(kind, name, lambda _: note)
    engine = ScriptedEngine((Text("hi"), End("stop")), models=("m",))
    async with a_pool(an_instance(engine), notes=notes) as it:
        await it.controller.tick()
        await it.pool.status()
        await it.pool.models()
        await it.controller.failed("one", EngineUnreachable())
        await it.controller.tick()
        assert (await it.instance("one")).health == "open"


@pytest.mark.parametrize(
    ("kind", "note", "fact"),
    [
        ("health", {"failures": 2, "reason": "x", "invented": {"a": 1}}, Health(2, reason="x")),
        ("seen", {"models": [{"name": "m", "invented": 1}], "on": 1}, Report(models=(ModelInfo("m"),))),
        ("seen", {"others": {"m": [4096, 10.5]}}, Report(others={"m": (4096, 10.5)})),
        ("loading", {"model": "m", "evicts": ["n"], "until": 5}, Loading("m", 5.0, ("n",))),
        ("barred", {"m": [1.5, 2, "gone"]}, {"m": Bar(1.5, 2, "gone")}),
    ],
)  # fmt: skip
def test_what_another_release_noted_is_read_as_far_as_it_is_known(kind, note, fact):
    assert FORMS[kind].read(note) == fact
    assert FORMS[kind].read(FORMS[kind].write(fact)) == fact
