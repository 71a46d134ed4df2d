from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.pool.capacity import Observed, capacities
from backend.pool.health import Health
from backend.pool.preference import Profile
from backend.pool.slots.base import ANY_MODEL, Capacity

NOW = 100.0
REFUSES = Health(open_until=130.0, trips=1)
HANGS = Health(open_until=130.0, trips=1, hangs=True)
HALF_OPEN = Health(open_until=90.0, trips=1)
MODELS = ("m", "n", "o")


def known(has=("m",), loaded=None, **more):
    return Observed(
        slots=4, profile=Profile(models=has, loaded=None if loaded is None else frozenset(loaded)), **more
    )


def room(one, **others):
    return capacities({"one": one, **others}, NOW)["one"]


names = st.frozensets(st.sampled_from(MODELS))
healths = st.sampled_from([Health(), REFUSES, HANGS, HALF_OPEN, Health(open_until=90.0, hangs=True)])
instances = st.builds(
    Observed,
    slots=st.integers(1, 8),
    models=names,
    draining=st.booleans(),
    health=healths,
    profile=st.builds(
        Profile, models=st.none() | names.map(lambda m: tuple(sorted(m))), loaded=st.none() | names
    ),
    loading=st.none() | st.sampled_from(MODELS),
    models_at_once=st.integers(1, 3),
    unloadable_until=st.dictionaries(st.sampled_from(MODELS), st.sampled_from([90.0, 110.0])),
)
pools = st.dictionaries(st.sampled_from("abcd"), instances, max_size=4)


def test_loaded_models_are_ready_and_the_others_cold():
    assert room(known(("m", "n"), ["m"])) == Capacity(4, frozenset({"m"}), frozenset({"n"}))


def test_an_engine_that_does_not_load_by_itself_has_all_its_models_ready():
    assert room(known(("m", "n"))) == Capacity(4, frozenset({"m", "n"}))


def test_before_anything_is_known_an_instance_answers_what_it_is_configured_for_or_all():
    assert room(Observed(slots=2)) == Capacity(2, frozenset({ANY_MODEL}))
    assert room(Observed(slots=2, models=frozenset({"m"}))) == Capacity(2, frozenset({"m"}))


def test_a_model_that_it_is_not_configured_for_is_neither_ready_nor_cold():
    restricted = known(("m", "n", "o"), ["n", "m"], models=frozenset({"n", "o"}))
    assert room(restricted) == Capacity(4, frozenset("n"), frozenset("o"))


@pytest.mark.parametrize("health", [REFUSES, HANGS, HALF_OPEN])
def test_an_avoided_instance_gets_nothing_while_another_could_answer(health):
    assert room(known(health=health), other=known()).slots == 0
    assert room(known(health=health), other=known(("m", "n"), ["n"])).slots == 0


def test_a_draining_instance_gets_nothing():
    assert room(known(draining=True)).slots == 0


@pytest.mark.parametrize("health", [REFUSES, HALF_OPEN])
def test_where_no_other_is_left_one_that_refused_is_tried(health):
    assert room(known(health=health)) == Capacity(1, frozenset("m"))
    assert room(known(health=health), other=known(draining=True)).slots == 1
    assert room(Observed(slots=4, health=health)).slots == 1


def test_one_that_hangs_is_not_tried_even_then():
    assert room(known(health=HANGS)).slots == 0


def test_it_is_tried_only_for_models_that_nobody_else_answers():
    assert room(known(("m", "n"), health=REFUSES), other=known(("m",))) == Capacity(1, frozenset("n"))
    assert room(Observed(slots=4, health=REFUSES), other=known(("m",))).slots == 0


def test_what_has_to_go_for_a_load_gets_no_new_work():
    full = known(("m", "n"), ["m"], loading="n")
    assert room(full) == Capacity(4, frozenset(), frozenset({"m", "n"}))
    assert room(replace(full, models_at_once=2)).ready == {"m"}
    assert room(
        known(("m", "n", "o"), ["m", "n"], loading="o", models_at_once=2, evicts=frozenset("n"))
    ).ready == {"m"}
    assert room(replace(full, profile=Profile(models=("m", "n"), loaded=frozenset("n")))).ready == {"n"}


def test_nobody_waits_for_a_model_that_failed_to_load_until_it_may_be_tried_again():
    assert room(known(("m", "n"), ["m"], unloadable_until={"n": 101.0})).cold == frozenset()
    assert room(known(("m", "n"), ["m"], unloadable_until={"n": 100.0})).cold == {"n"}


@given(pools)
def test_every_instance_has_a_capacity_and_none_promises_more_than_the_instance_has(pool):
    told = capacities(pool, NOW)
    assert set(told) == set(pool)
    for name, told_room in told.items():
        one = pool[name]
        assert told_room.slots in (0, 1, one.slots)
        assert not told_room.ready & told_room.cold
        assert ANY_MODEL not in told_room.cold
        if one.models:
            assert told_room.ready | told_room.cold <= one.models
        if one.draining or (one.health.hangs and one.health.open_until is not None):
            assert told_room.slots == 0


@given(pools, st.sampled_from(MODELS))
def test_a_model_is_refused_only_if_all_that_have_it_are_drained_or_hang_or_would_have_to_load_it(
    pool, model
):
    able = [k for k in pool.values() if not k.draining and not k.health.hangs]
    alone = [capacities({"one": replace(k, health=Health())}, NOW)["one"] for k in able]
    hope = [
        a.answers(model) or (k.healthy(NOW) and a.could_answer(model))
        for a, k in zip(alone, able, strict=True)
    ]
    if any(h and ANY_MODEL not in a.ready for h, a in zip(hope, alone, strict=True)):
        assert any(r.could_answer(model) for r in capacities(pool, NOW).values())


@given(pools, st.sampled_from(MODELS))
def test_an_avoided_instance_takes_no_reader_from_a_healthy_one(pool, model):
    told = capacities(pool, NOW)
    healthy = {name for name, k in pool.items() if k.healthy(NOW)}
    if any(told[name].could_answer(model) for name in healthy):
        assert not any(told[name].could_answer(model) for name in set(pool) - healthy)


def test_two_names_of_one_model_take_the_room_of_one():
    assert room(known(("m", "n"), ["m", "m:latest"], loading="n", models_at_once=2)).ready == {
        "m",
        "m:latest",
    }
