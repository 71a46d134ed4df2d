from hypothesis import given
from hypothesis import strategies as st

from backend.engines.base import ModelInfo
from backend.pool.base import OfferedModel
from backend.pool.model_list import named
from backend.pool.names import folded, names_of

SPELLINGS = st.sampled_from(["prose", "Prose", "prose:latest", "PROSE:LATEST", "library/prose"])
OTHERS = st.sampled_from(["qwen3:8b", "Qwen3:8B", "hf.co/Org/Model-GGUF:Q4_K_M", "prose:7b"])
LISTINGS = st.lists(
    st.tuples(st.booleans(), st.lists(SPELLINGS | OTHERS, max_size=5, unique=True)), max_size=4
)


@given(LISTINGS, SPELLINGS | OTHERS)
def test_a_model_has_one_name_whatever_it_is_asked_for_as(listings, wanted):
    names = names_of(listings)
    name = names.of(wanted)
    assert names.of(name) == name
    assert folded(name) == folded(wanted)


@given(LISTINGS)
def test_what_a_server_lists_is_what_it_is_asked_for(listings):
    names = names_of(listings)
    for loose, listed in listings:
        called = names.of_all(listed, loose=loose)
        assert len(set(called)) == len(called)
        assert {folded(name) for name in called} == {folded(name) for name in listed}
        if not loose:
            assert called == tuple(listed), "such a server takes its names only as they are"


@given(SPELLINGS, SPELLINGS)
def test_two_ollama_servers_that_spell_a_model_differently_have_one_model(one, two):
    names = names_of([(True, [one]), (True, [two])])
    assert names.of_all([one], loose=True) == names.of_all([two], loose=True) == (one,)


@given(SPELLINGS)
def test_ollama_answers_for_a_model_by_the_name_that_a_strict_server_has_for_it(spelt):
    names = names_of([(True, [spelt]), (False, ["Prose"])])
    assert names.of_all([spelt], loose=True) == ("Prose",)


def test_names_of_strict_servers_are_exact():
    names = names_of([(False, ["prose:latest"])])
    assert names.of("prose") == "prose"
    offered = [OfferedModel(ModelInfo("prose:latest"))]
    assert named("prose", offered) is None
    assert named("Prose", [OfferedModel(ModelInfo("prose:latest"), loose_name=True)]) == "prose:latest"


def test_a_tag_other_than_latest_is_another_model():
    names = names_of([(True, ["prose:7b", "prose:latest"])])
    assert [names.of(name) for name in ("prose", "PROSE:7B", "prose:13b")] == [
        "prose:latest", "prose:7b", "prose:13b"
    ]  # fmt: skip
