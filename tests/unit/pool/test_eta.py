from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.pool.eta import FURTHEST, Waits
from backend.pool.slots.base import Capacity, Snapshot

MODELS = ("a", "b")


def busy(*, slots=12, waiting=0, each_s=6.0, seen=128):
    return Snapshot(
        capacities={"i": Capacity(slots)},
        held_s={"i": [1.0] * slots},
        waiting={"a": waiting},
        durations_s={"a": [each_s] * seen},
    )


def after(multiples, *, position=4):
    """`Waits` whose waiters at a place of twelve slots needed these multiples of place x mean / slots."""
    waits = Waits()
    for multiple in multiples:
        view = busy(waiting=position - 1)
        waits.waited(waits.interval_s(view, "a", position), multiple * position * 0.5)
    return waits


counts = st.dictionaries(st.sampled_from(MODELS), st.integers(0, 600))
capacities = st.builds(
    Capacity,
    slots=st.integers(0, 8),
    ready=st.frozensets(st.sampled_from((*MODELS, "*"))),
    cold=st.frozensets(st.sampled_from(MODELS)),
)
views = st.builds(
    Snapshot,
    capacities=st.dictionaries(st.text(max_size=2), capacities, max_size=4),
    waiting=counts,
    durations_s=st.dictionaries(st.sampled_from(MODELS), st.lists(st.floats(0, 1e5), max_size=40)),
)
places = st.integers(1, 2 * FURTHEST)


@given(views, views, st.lists(st.tuples(places, st.floats(0, 1e6)), max_size=30))
def test_whatever_was_seen_and_learned_the_interval_is_finite_and_further_back_is_never_sooner(
    before, view, lessons
):
    waits = Waits()
    for place, waited_s in lessons:
        waits.waited(waits.interval_s(before, "a", place), waited_s)
    lows, highs = zip(*(waits.interval_s(view, "a", n) for n in range(1, 2 * FURTHEST, 23)), strict=True)
    assert all(0 <= low <= high < 1e12 for low, high in zip(lows, highs, strict=True))
    assert sorted(lows) == list(lows)
    assert sorted(highs) == list(highs)


def test_before_anything_is_learned_the_interval_is_wide_around_the_plain_guess():
    low_s, high_s = Waits().interval_s(busy(), "a", 12)
    assert low_s < 6 < high_s
    assert low_s > 1
    assert high_s < 6 * 4


def test_half_the_slots_take_twice_as_long():
    low_s, high_s = Waits().interval_s(busy(slots=12), "a", 4)
    assert Waits().interval_s(busy(slots=6), "a", 4) == pytest.approx((2 * low_s, 2 * high_s))


def test_a_model_that_has_yet_to_be_loaded_waits_for_the_slots_it_will_have():
    cold = Snapshot(capacities={"i": Capacity(4, ready=frozenset({"b"}), cold=frozenset({"a"}))})
    ready = Snapshot(capacities={"i": Capacity(4)})
    assert Waits().interval_s(cold, "a", 3) == Waits().interval_s(ready, "a", 3)


def test_who_waits_for_another_model_of_the_same_slots_is_ahead_too():
    alone = Snapshot(
        capacities={"i": Capacity(4), "j": Capacity(4, ready=frozenset({"b"}))}, waiting={"a": 8}
    )
    shared = Snapshot(capacities=alone.capacities, waiting={"a": 8, "b": 20})
    apart = Snapshot(
        capacities={"i": Capacity(4, ready=frozenset({"a"})), "j": alone.capacities["j"]},
        waiting={"a": 8, "b": 20},
    )
    expected = Waits().interval_s(alone, "a", 5)
    assert Waits().interval_s(apart, "a", 5) == expected
    # Half of the slots for b are those for a: ten of its waiters among ten turns.
    assert Waits().interval_s(shared, "a", 5) == pytest.approx([2 * end for end in expected])


def test_what_waiters_really_needed_is_told_to_the_next():
    low_s, high_s = after([2.8, 3.0, 3.2] * 80).interval_s(busy(waiting=3), "a", 4)
    assert 2.0 * 2 < low_s < 3.0 * 2 < high_s < 4.0 * 2


def test_waits_that_are_always_the_same_leave_a_narrow_interval_and_never_one_upside_down():
    waits = Waits()
    for _ in range(400):
        low_s, high_s = told = waits.interval_s(busy(waiting=3), "a", 4)
        assert low_s <= high_s
        waits.waited(told, 5.0)
    assert 4.0 < low_s <= high_s < 6.0


def test_what_is_learned_at_the_end_of_the_queue_is_not_told_to_those_at_its_head():
    taught = after([8.0] * 100, position=40)
    assert taught.interval_s(busy(waiting=39), "a", 40)[1] > 7.0 * 20
    assert taught.interval_s(busy(waiting=80), "a", 2)[1] < 7.0 * 1


def test_the_places_of_a_view_are_reckoned_once_and_a_new_view_knows_more():
    waits, view = Waits(), busy()
    told = waits.interval_s(view, "a", 4)
    for _ in range(50):
        waits.waited(told, 100.0)
    assert waits.interval_s(view, "a", 4) == told
    assert waits.interval_s(busy(), "a", 4)[1] > told[1]


def test_beyond_the_furthest_place_the_wait_grows_in_proportion():
    waits, view = Waits(), busy()
    low_s, high_s = waits.interval_s(view, "a", FURTHEST)
    assert waits.interval_s(view, "a", 3 * FURTHEST) == pytest.approx((3 * low_s, 3 * high_s))


def test_a_pair_from_elsewhere_teaches_only_whether_it_held_and_no_more_than_twice():
    waits = Waits()
    low_s, high_s = waits.interval_s(busy(), "a", 4)
    for _ in range(1000):
        waits.waited((0.0, 1.0), 1e6)
    longer = waits.interval_s(busy(), "a", 4)
    assert longer[1] == pytest.approx(2 * high_s)
    assert longer[0] >= low_s


@pytest.mark.parametrize(("median", "spread"), [(1.0, 0.5), (3.0, 0.3), (0.2, 1.0)])
def test_nine_in_ten_intervals_hold_whatever_the_guess_is_wrong_by(median, spread):
    waits, rng, held = Waits(), Random(1), []
    for _ in range(1500):
        position = rng.randint(1, 30)
        told = waits.interval_s(busy(waiting=position - 1), "a", position)
        waited_s = position * 0.5 * median * rng.lognormvariate(0.0, spread)
        held.append(told[0] <= waited_s <= told[1])
        waits.waited(told, waited_s)
    assert 0.85 < sum(held[500:]) / 1000 < 0.95
