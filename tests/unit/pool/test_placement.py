from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.pool.capacity import Observed
from backend.pool.health import Health
from backend.pool.placement import Load, loads
from backend.pool.preference import Profile
from backend.pool.slots.base import Snapshot

NOW = 1000.0
MODELS = ("m", "n", "o")
OPEN = Health(open_until=NOW + 9)


def holds(*loaded, has=MODELS, slots=2, **more):
    return Observed(slots=slots, profile=Profile(models=tuple(has), loaded=frozenset(loaded)), **more)


def view(waiting=None, busy=None, oldest_s=None):
    """`busy`: slots taken per instance. `oldest_s`: of every model that is waited for, 1 if not given."""
    waiting = waiting or {}
    return Snapshot(
        held_s={name: [1.0] * taken for name, taken in (busy or {}).items()},
        waiting=waiting,
        oldest_s=dict.fromkeys(waiting, 1.0) | (oldest_s or {}),
    )


def decided(known, seen, random=0.0, **options):
    return [(load.instance, load.model) for load in loads(known, seen, NOW, random=random, **options)]


def test_nothing_is_loaded_that_nobody_waits_for():
    assert decided({"a": holds()}, view()) == []


def test_a_model_that_is_loaded_nowhere_is_loaded_once():
    known = {"a": holds(), "b": holds()}
    assert loads(known, view({"m": 5}), NOW, random=0.0) == [Load("a", "m")]
    assert loads(known, view({"m": 5}), NOW, random=0.9) == [Load("b", "m")]


def test_nothing_is_evicted_soon_for_a_model_that_is_held_or_being_loaded():
    assert decided({"a": holds("m"), "b": holds("n")}, view({"m": 5})) == []
    assert decided({"a": holds(loading="m"), "b": holds("n")}, view({"m": 5}, oldest_s={"m": 99.0})) == []


def test_an_instance_that_holds_nothing_is_put_to_use_at_once_as_far_as_it_is_needed():
    assert decided({"a": holds("m"), "b": holds()}, view({"m": 5})) == [("b", "m")]
    assert decided({"a": holds("m"), "b": holds()}, view({"m": 5}, oldest_s={"m": 0.1})) == []
    assert decided({"a": holds(loading="m"), "b": holds()}, view({"m": 5})) == [("b", "m")]
    assert decided({"a": holds(loading="m"), "b": holds()}, view({"m": 2})) == []


@pytest.mark.parametrize("change", [{"draining": True}, {"health": OPEN}])
def test_what_an_instance_that_gets_no_work_holds_or_loads_does_not_count(change):
    for gone in (holds("m"), holds(loading="m")):
        assert decided({"a": replace(gone, **change), "b": holds()}, view({"m": 1})) == [("b", "m")]


def test_nothing_is_loaded_where_no_work_goes_or_the_model_is_not():
    known = {
        "draining": holds(draining=True),
        "open": holds(health=OPEN),
        "busy": holds(loading="o"),
        "without": holds(has=("n",)),
        "restricted": holds(models=frozenset("n")),
        "failed": holds(unloadable_until={"m": NOW + 1}),
        "unmanaged": Observed(slots=2, profile=Profile(models=("n",))),
    }
    assert decided(known, view({"m": 1})) == []


def test_an_idle_instance_is_taken_before_a_busy_one_and_room_before_an_eviction():
    assert decided({"a": holds("n"), "b": holds("o")}, view({"m": 1}, {"a": 1})) == [("b", "m")]
    assert decided({"a": holds("n"), "b": holds()}, view({"m": 1})) == [("b", "m")]


def test_what_nobody_waits_for_is_evicted_first():
    seen = view({"m": 1, "n": 3}, {"a": 2, "b": 2})
    assert decided({"a": holds("n"), "b": holds("o")}, seen) == [("b", "m")]


def test_a_model_with_another_copy_is_evicted_before_the_last_copy_of_one_in_use():
    known = {"a": holds("n"), "b": holds("o"), "c": holds("o")}
    seen = view({"m": 1, "o": 3}, {"a": 2, "b": 2, "c": 2})
    assert decided(known, seen) == [("b", "m")]


def test_the_slow_instance_is_the_second_choice():
    fast, slow = (Profile(models=("m",), loaded=frozenset(), tokens_per_s=speed) for speed in (90.0, 9.0))
    known = {"a": Observed(slots=2, profile=slow), "b": Observed(slots=2, profile=fast)}
    assert decided(known, view({"m": 1})) == [("b", "m")]
    assert decided({**known, "b": replace(known["b"], draining=True)}, view({"m": 1})) == [("a", "m")]


def test_what_was_used_longest_ago_is_evicted_where_several_are_held():
    one = holds("m", "n", models_at_once=2, used_at={"m": 900.0, "n": 800.0})
    assert loads({"a": one}, view({"o": 1}), NOW, random=0.0) == [Load("a", "o", frozenset("n"))]


def test_two_names_of_one_model_take_the_room_of_one_and_go_together():
    two = holds("m", "m:latest", "n", models_at_once=2, used_at={"m": 800.0, "n": 900.0})
    assert loads({"a": two}, view({"o": 1}), NOW, random=0.0) == [
        Load("a", "o", frozenset({"m", "m:latest"}))
    ]
    roomy = replace(two, models_at_once=3)
    assert loads({"a": roomy}, view({"o": 1}), NOW, random=0.0) == [Load("a", "o")]


def test_the_last_copy_of_what_is_in_use_stays_a_minimum():
    just = holds("n", last_loaded_at=NOW - 59)
    assert decided({"a": just}, view({"m": 1, "n": 1})) == []
    assert decided({"a": just}, view({"m": 1}, {"a": 1})) == []
    assert decided({"a": just, "b": just}, view({"m": 1, "n": 1})) == [("a", "m")]
    assert decided({"a": replace(just, last_loaded_at=NOW - 60)}, view({"m": 1, "n": 1})) == [("a", "m")]


def test_a_last_copy_that_is_idle_gives_way_after_as_long_as_a_load_takes():
    just = holds("n", last_loaded_at=NOW - 59, load_s=7.0)
    assert decided({"a": replace(just, used_at={"n": NOW - 6.9})}, view({"m": 1})) == []
    assert decided({"a": replace(just, used_at={"n": NOW - 7.1})}, view({"m": 1})) == [("a", "m")]
    assert decided({"a": just}, view({"m": 1})) == [("a", "m")]


def test_who_waits_longest_is_served_first():
    seen = view({"m": 9, "n": 1}, oldest_s={"n": 5.0})
    assert decided({"a": holds()}, seen) == [("a", "n")]


def test_a_model_that_is_missing_goes_before_a_further_copy_of_another():
    seen = view({"m": 1, "n": 1}, {"a": 2}, {"m": 99.0})
    assert decided({"a": holds("m"), "b": holds()}, seen) == [("b", "n")]


def test_one_decision_knows_of_the_other():
    known = {"a": holds("o"), "b": holds("o"), "c": holds("o", last_loaded_at=NOW - 1)}
    seen = view({"m": 1, "n": 1, "o": 1}, {"a": 2, "b": 2, "c": 2})
    assert decided(known, seen) == [("a", "m"), ("b", "n")]
    unsettled = {name: replace(one, last_loaded_at=NOW - 1) for name, one in known.items() if name != "c"}
    assert decided(unsettled, seen) == [("a", "m")]


class TestAFurtherCopy:
    waits = view({"m": 3}, {"a": 2}, {"m": 11.0})

    def test_is_made_when_the_first_has_waited_long(self):
        known = {"a": holds("m"), "b": holds("n")}
        assert decided(known, self.waits) == [("b", "m")]
        assert decided(known, self.waits, spread_after_s=12.0) == []

    def test_is_not_made_where_no_slot_is_free_or_somebody_waits_for_what_is_held(self):
        known = {"a": holds("m"), "b": holds("n"), "c": holds("n")}
        assert decided(known, view({"m": 3}, {"a": 2, "b": 2, "c": 2}, {"m": 11.0})) == []
        assert decided(known, view({"m": 3, "n": 1}, {"a": 2}, {"m": 11.0})) == []

    def test_is_not_made_where_a_model_was_loaded_just_now_unless_there_is_room(self):
        just = holds("n", last_loaded_at=NOW - 59)
        assert decided({"a": holds("m"), "b": just}, self.waits) == []
        assert decided({"a": holds("m"), "b": replace(just, models_at_once=2)}, self.waits) == [("b", "m")]

    def test_does_not_evict_the_last_copy_of_what_is_in_use_or_was_just_now(self):
        used = holds("n", used_at={"n": NOW - 59})
        assert decided({"a": holds("m"), "b": used}, self.waits) == []
        assert (
            decided({"a": holds("m"), "b": holds("n")}, view({"m": 3}, {"a": 2, "b": 1}, {"m": 11.0})) == []
        )
        assert decided({"a": holds("m"), "b": used, "c": used}, self.waits) == [("b", "m")]


names = st.frozensets(st.sampled_from(MODELS))
instances = st.builds(
    Observed,
    slots=st.integers(1, 3),
    models=names,
    draining=st.booleans(),
    health=st.sampled_from([Health(), Health(), OPEN]),
    profile=st.builds(
        Profile, models=st.none() | names.map(lambda m: tuple(sorted(m))), loaded=st.none() | names
    ),
    loading=st.none() | st.sampled_from(MODELS),
    models_at_once=st.integers(1, 3),
    last_loaded_at=st.none() | st.sampled_from([NOW - 1, NOW - 99]),
    unloadable_until=st.dictionaries(st.sampled_from(MODELS), st.sampled_from([NOW - 1, NOW + 1])),
)
pools = st.dictionaries(st.sampled_from("abcd"), instances, max_size=4)
views = st.builds(
    view,
    waiting=st.dictionaries(st.sampled_from(MODELS), st.integers(0, 3)),
    busy=st.dictionaries(st.sampled_from("abcd"), st.integers(0, 3)),
    oldest_s=st.dictionaries(st.sampled_from(MODELS), st.sampled_from([1.0, 20.0])),
)
randoms = st.floats(0, 1, exclude_max=True)


@given(pools, views, randoms)
def test_every_load_is_asked_for_possible_and_new(known, seen, random):
    chosen = loads(known, seen, NOW, random=random)
    assert all(
        n == 1 for n in (Counter(c.instance for c in chosen) + Counter(c.model for c in chosen)).values()
    )
    assert chosen == loads(dict(reversed(known.items())), seen, NOW, random=random)
    for load in chosen:
        one = known[load.instance]
        assert seen.waiting[load.model] > 0
        assert one.healthy(NOW)
        assert one.loading is None
        assert load.model not in one.profile.loaded
        assert load.evicts <= one.profile.loaded
        assert len(one.profile.loaded - load.evicts) < one.models_at_once
        assert not any(k.loading == load.model and k.healthy(NOW) for k in known.values())
