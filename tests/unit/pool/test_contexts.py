"""Which context a model has where, and when somebody else's shows."""

import pytest

from backend.config import Settings
from backend.engines.base import LoadedModel, ModelInfo
from backend.pool.contexts import USUAL_TOKENS, Contexts, reloaded, with_others
from backend.pool.report import Look, Report


def note(made_for=None, loaded=None, *, is_loaded=True, name="m:latest", asked=None, before=None, now=0.0):
    models = (ModelInfo(name, context_tokens=made_for),)
    memory = (LoadedModel(name, context_tokens=loaded),) if is_loaded else ()
    return with_others((before or Report()).after(Look(models, memory)), asked, now)


@pytest.mark.parametrize(
    ("known", "asked", "context"),
    [
        (note(131_072, 4096), None, 4096),
        (note(1024, 1024), None, 1024),
        (note(262_144, 262_144), None, 262_144),
        (note(131_072, is_loaded=False), None, USUAL_TOKENS),
        (note(1024, is_loaded=False), None, 1024),
        (note(131_072, is_loaded=False), 8192, 8192),
        (note(1024, is_loaded=False), 8192, 1024),
        (note(131_072, 4096), 8192, 4096),
        (note(131_072, 8192), 2048, 2048),
        (note(None, None), None, None),
        (note(32_768, None), None, None),
        (note(2048, None), None, 2048),
        (note(None, None), 8192, 8192),
        (Report(models=(ModelInfo("m"),)), None, USUAL_TOKENS),
        (Report(), None, USUAL_TOKENS),
        (Report(), 2048, 2048),
    ],
)
def test_what_the_server_tells_is_used_and_what_the_operator_set_bounds_it(known, asked, context):
    for name in ("m", "m:latest", "M"):
        assert Contexts(asked).of("one", name, known, 0.0) == context


def test_a_refusal_counts_until_the_next_look_and_longer_where_looks_do_not_tell():
    contexts = Contexts()
    contexts.refused("one", "m", 1024, 100.0)
    assert contexts.of("one", "m", note(131_072, 4096), 101.0) == 1024
    assert contexts.of("one", "m", note(131_072, 4096), 130.0) == 4096
    assert contexts.of("one", "m", note(None, None), 600.0) == 1024
    assert contexts.of("one", "m", note(None, None), 800.0) is None
    assert contexts.of("other", "m", note(131_072, 4096), 101.0) == 4096
    assert contexts.of("one", "n", note(131_072, 4096, name="n"), 101.0) == 4096


def test_a_context_that_another_client_asked_for_is_told_for_minutes():
    ours = note(131_072, 8192, asked=8192)
    assert reloaded(ours, 8192) == ""
    theirs = note(131_072, 4096, asked=8192, before=ours, now=10.0)
    assert "m:latest" in reloaded(theirs, 8192)
    assert "4096" in reloaded(theirs, 8192)
    assert "LIBRI_ENGINE__CONTEXT_TOKENS" in reloaded(theirs, 8192)
    again = note(131_072, 8192, asked=8192, before=theirs, now=20.0)
    assert reloaded(again, 8192) == reloaded(theirs, 8192)
    assert reloaded(note(131_072, 8192, asked=8192, before=again, now=700.0), 8192) == ""


@pytest.mark.parametrize(
    "known",
    [
        note(4096, 4096, asked=8192),
        note(131_072, None, asked=8192),
        note(None, 4096, asked=8192),
        note(131_072, 8192, is_loaded=False, asked=8192),
        note(131_072, 4096, asked=None),
    ],
)
def test_a_context_clamped_to_the_training_one_or_never_asked_for_is_not_odd(known):
    assert reloaded(known, 8192) == ""
    assert reloaded(known, None) == ""


def test_the_oddity_is_one_line_whatever_a_model_is_called():
    known = note(131_072, 4096, name="x" * 5000, asked=8192)
    assert len(reloaded(known, 8192)) < 1000


def test_by_default_and_left_empty_no_context_is_asked_for():
    assert Settings().engine.context_tokens is None
    assert Settings(engine={"context_tokens": ""}).engine.context_tokens is None
    assert Settings(engine={"context_tokens": "8192"}).engine.context_tokens == 8192
