import itertools

from hypothesis import given
from hypothesis import strategies as st

from backend.pool.retries import RetryBudget

SHARE, FLOOR, WINDOW_S = 0.2, 3, 10.0
steps = st.lists(
    st.tuples(st.sampled_from([0.0, 0.125, 1.0, 4.0, 11.0]), st.integers(0, 12), st.integers(0, 6))
)


def played(steps):
    """Times of requests, and of the retries granted, where `steps` are pauses, requests, retries wanted."""
    budget, now, requests, retries = RetryBudget(share=SHARE, floor=FLOOR, window_s=WINDOW_S), 0.0, [], []
    for pause_s, admitted, wanted in steps:
        now += pause_s
        for _ in range(admitted):
            budget.admitted(now)
        requests += [now] * admitted
        retries += [now] * sum(budget.take(now) for _ in range(wanted))
    return requests, retries


def test_a_quiet_process_may_retry_up_to_the_floor():
    budget = RetryBudget()
    assert sum(budget.take(0.0) for _ in range(99)) == 10
    assert not budget.take(9.9)
    assert sum(budget.take(10.0) for _ in range(99)) == 10


def test_a_busy_one_may_retry_a_fifth_of_its_requests_besides():
    budget = RetryBudget()
    for n in range(100):
        budget.admitted(n / 100)
    assert sum(budget.take(1.0) for _ in range(99)) == 30


@given(steps)
def test_in_every_window_that_ends_with_a_retry_they_keep_to_the_budget(steps):
    requests, retries = played(steps)
    for end in retries:
        inside = [sum(end - WINDOW_S < t <= end for t in times) for times in (requests, retries)]
        assert inside[1] <= SHARE * inside[0] + FLOOR


@given(steps)
def test_over_any_time_they_are_a_fifth_of_the_requests_and_one_floor_for_each_window(steps):
    requests, retries = played(steps)
    for first, last in itertools.combinations_with_replacement(sorted(set(retries)), 2):
        windows = (last - first) // WINDOW_S + 1
        asked = sum(first - WINDOW_S < t <= last for t in requests)
        assert sum(first <= t <= last for t in retries) <= SHARE * asked + windows * FLOOR


@given(steps)
def test_no_retry_that_the_budget_holds_is_refused(steps):
    budget, now = RetryBudget(share=SHARE, floor=FLOOR, window_s=WINDOW_S), 0.0
    requests, retries = [], []
    for pause_s, admitted, wanted in steps:
        now += pause_s
        for _ in range(admitted):
            budget.admitted(now)
            requests.append(now)
        for _ in range(wanted):
            room = SHARE * sum(now - t < WINDOW_S for t in requests) + FLOOR
            may = sum(now - t < WINDOW_S for t in retries) + 1 <= room
            assert budget.take(now) == may
            retries += [now] * may
