from hypothesis import given
from hypothesis import strategies as st

from backend.pool.gaps import ENOUGH, SEEN_BESIDE, WINDOW, Gaps

LEAST, MOST = 5.0, 30.0
gaps_s = st.floats(0, 60)
GPU, CPU = 0.01, 0.1


def learned(usual_s: float, *others: float, many: int = 2 * ENOUGH, beside: int = 0) -> Gaps:
    gaps = Gaps()
    for _ in range(many):
        gaps.learn(usual_s)
    for other in others:
        gaps.learn(other)
    for _ in range(beside):
        gaps.read_beside()
    return gaps


@given(st.lists(gaps_s, max_size=300), st.integers(0, 5), st.floats(0.01, 60), st.floats(0.01, 60))
def test_patience_is_within_its_ends_and_the_upper_one_wins(seen, beside, least_s, most_s):
    gaps = Gaps(beside=beside)
    for gap_s in seen:
        gaps.learn(gap_s)
    patience_s = gaps.patience_s(least_s, most_s)
    assert min(least_s, most_s) <= patience_s <= most_s


@given(st.lists(gaps_s, max_size=ENOUGH - 1))
def test_before_enough_is_learned_the_upper_end_holds(seen):
    gaps = Gaps()
    for gap_s in seen:
        gaps.learn(gap_s)
    assert gaps.patience_s(LEAST, MOST) == MOST


@given(st.lists(st.floats(0, 7), min_size=ENOUGH, max_size=400), st.integers(0, 9))
def test_a_gap_no_longer_than_one_that_was_seen_is_never_taken_for_a_stall(seen, beside):
    gaps = Gaps(beside=beside)
    for gap_s in seen:
        gaps.learn(gap_s)
    assert gaps.patience_s(LEAST, MOST) > max(seen)


@given(st.floats(0.005, 0.04))
def test_at_the_speed_of_a_gpu_a_stall_is_found_within_six_seconds(usual_s):
    assert learned(usual_s, 0.3, 0.2).patience_s(LEAST, MOST) <= 6.0


def test_a_slow_machine_is_waited_for_until_it_was_seen_reading_prompts():
    assert learned(CPU).patience_s(LEAST, MOST) == MOST
    assert learned(CPU, 11.5, beside=SEEN_BESIDE).patience_s(LEAST, MOST) == MOST
    quick = learned(0.06, 1.0, beside=SEEN_BESIDE)
    assert LEAST < quick.patience_s(LEAST, MOST) < 10


@given(st.floats(0.001, 3.0), st.floats(1.0, 4.0))
def test_more_is_borne_where_longer_gaps_were_seen(longest_s, times):
    short, long = learned(GPU, longest_s), learned(GPU, longest_s * times)
    assert short.patience_s(LEAST, MOST) <= long.patience_s(LEAST, MOST)


def test_whoever_was_given_up_by_mistake_is_waited_for_twice_as_long():
    gaps = learned(GPU)
    borne = []
    for _ in range(4):
        borne.append(gaps.patience_s(LEAST, MOST))
        gaps.judged(borne[-1])
    assert borne == [5, 10, 20, 30]
    for _ in range(2 * WINDOW):
        gaps.learn(GPU)
    assert gaps.patience_s(LEAST, MOST) == LEAST, "and that is forgotten"


def test_prompts_read_half_of_the_time_do_not_make_a_gpu_look_slow():
    gaps = Gaps()
    for n in range(4000):
        gaps.learn(0.3 if (n // 20) % 2 else GPU)
    assert gaps.usual_s < 0.03
    assert gaps.patience_s(LEAST, MOST) <= 6.0
