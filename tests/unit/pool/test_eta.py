from hypothesis import given
from hypothesis import strategies as st

from backend.pool.eta import Durations, wait_bounds_s


def steady(seconds):
    durations = Durations()
    for _ in range(64):
        durations.add(seconds)
    return durations


def test_the_next_waits_for_the_oldest_and_each_round_costs_one_more():
    durations = steady(10.0)
    assert [wait_bounds_s(n, [4.0, 1.0], 2, durations) for n in (1, 2, 3, 4)] == [
        (6.0, 6.0), (9.0, 9.0), (16.0, 16.0), (19.0, 19.0),
    ]  # fmt: skip


def test_before_anything_was_seen_the_interval_is_wide():
    low_s, high_s = wait_bounds_s(1, [0.0], 1, Durations())
    assert low_s <= 2
    assert high_s >= 20


def test_a_generation_older_than_usual_may_end_now():
    assert wait_bounds_s(1, [99.0], 1, steady(10.0))[0] == 0.0


@given(
    st.integers(1, 50),
    st.lists(st.floats(0, 100), max_size=8),
    st.integers(0, 8),
    st.lists(st.floats(0, 1000), max_size=80),
)
def test_an_interval_is_never_upside_down_and_further_back_is_never_sooner(place, ages, slots, seen):
    durations = Durations()
    for seconds in seen:
        durations.add(seconds)
    low_s, high_s = wait_bounds_s(place, ages, slots, durations)
    assert 0 <= low_s <= high_s
    assert wait_bounds_s(place + 1, ages, slots, durations)[1] >= high_s
