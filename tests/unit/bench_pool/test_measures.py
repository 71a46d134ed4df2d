"""What is read from records and from the emulators' truth."""

import pytest

from loadtests.bench import percentile
from loadtests.pool.attempts import Attempt, attempts_of, over_admitted
from loadtests.pool.figures import figures
from loadtests.pool.honesty import kept, naive_kept
from loadtests.pool.idle import Idleness, idleness
from loadtests.pool.records import Record, Told, read_records, to_line
from loadtests.pool.shares import jain_of_backlogged, waits_beside_ideal

SLOTS = {"a": 2, "b": 1}


def record(number, arrived_s, ended_s=None, model="m", **more):
    it = Record(number, 0, model, "s", arrived_s, ended_s=ended_s, outcome="done" if ended_s else "open")
    for name, value in more.items():
        setattr(it, name, value)
    return it


def attempt(number, instance, arrive_s, slot_s, free_s, model="m"):
    return Attempt(number, instance, model, arrive_s, slot_s, free_s, free_s)


def may_all(_model, _instance):
    return True


def idle(records, attempts, may=may_all, window=(0.0, 10.0)):
    return idleness(records, attempts, SLOTS, may, window)


def test_busy_slots_and_nobody_waiting_waste_nothing():
    found = idle([record(1, 1, 5)], [attempt(1, "a", 1, 1, 5)])
    assert found == Idleness(total=30, busy=4, beside_waiters=0, usable=0)


def test_a_request_in_an_instances_own_queue_could_have_used_a_slot_elsewhere():
    records = [record(n, 0, 9) for n in (1, 2, 3)]
    attempts = [attempt(1, "a", 0, 0, 4), attempt(2, "a", 0, 0, 6), attempt(3, "a", 0, 4, 9)]
    found = idle(records, attempts)
    assert (found.usable, found.beside_waiters) == (4, 4)


def test_three_idle_slots_beside_one_waiter_count_once_or_thrice():
    found = idle([record(1, 2, 8)], [attempt(1, "a", 5, 5, 8)])
    assert (found.usable, found.beside_waiters) == (3, 9)


def test_a_slot_that_can_not_serve_the_waiters_model_is_not_wasted():
    records = [record(1, 0, 4, "y"), record(2, 0, 8, "y")]
    attempts = [attempt(1, "b", 0, 0, 4, "y"), attempt(2, "b", 4, 4, 8, "y")]
    found = idle(records, attempts, may=lambda model, instance: (model, instance) == ("y", "b"))
    assert (found.usable, found.beside_waiters, found.busy) == (0, 0, 8)


def test_one_that_was_cut_off_waits_again_until_its_next_slot():
    attempts = [attempt(1, "a", 0, 0, 3), attempt(1, "b", 5, 5, 8)]
    assert idle([record(1, 0, 8)], attempts).usable == 2


def test_one_that_never_got_a_slot_waits_until_it_gave_up():
    assert idle([record(1, 2, 4)], []).usable == 2
    assert idle([record(1, 2)], []).usable == 8


def test_only_the_window_counts():
    found = idle([record(1, 2, 8)], [attempt(1, "a", 5, 5, 8)], window=(4.0, 6.0))
    assert (found.total, found.busy, found.usable) == (6, 1, 1)


def test_attempts_are_put_together_from_events_and_requests():
    requests = [
        {"id": 7, "question": "12 count to 3 word", "model": "m"},
        {"id": 8, "question": "", "model": ""},
    ]
    events = [
        {"event": "arrive", "request": 7, "mono_s": 1.0},
        {"event": "arrive", "request": 8, "mono_s": 1.1},
        {"event": "slot_get", "request": 7, "mono_s": 2.5},
        {"event": "slot_free", "request": 7, "mono_s": 3.0},
        {"event": "evict", "mono_s": 3.0},
        {"event": "done", "request": 7, "mono_s": 3.1},
    ]
    (found,) = attempts_of("a", events, requests)
    assert found == Attempt(12, "a", "m", 1.0, 2.5, 3.0, 3.1)
    assert found.inner_wait_s == 1.5


def test_whoever_arrives_where_all_slots_are_taken_is_one_too_many():
    attempts = [attempt(n, "a", at_s, at_s, end_s) for n, at_s, end_s in ((1, 0, 5), (2, 1, 5), (3, 2, 6))]
    assert over_admitted(attempts, SLOTS) == 1
    attempts[2].arrive_s = 5
    assert over_admitted(attempts, SLOTS) == 0
    attempts[0].done_s = None
    assert over_admitted([*attempts[:2], attempt(4, "a", 4, 9, 9)], SLOTS) == 1


def test_a_count_shows_what_was_lost_and_what_came_twice():
    it = record(1, 0, 1, output_tokens=5)
    it.compare("1 2 3 4 5")
    assert (it.lost, it.twice) == (0, 0)
    it.compare("1 2 2 3 5")
    assert (it.lost, it.twice) == (1, 1)


def test_records_survive_their_file_and_half_a_line_does_not(tmp_path):
    told = [Told(0.5, 3, 1.0, 2.0)]
    one = record(1, 5.0, 6.0, told=told, assigned=[(5.5, "a")], first_s=5.7)
    two = record(2, 1.0, 2.0)
    (tmp_path / "r").write_bytes(to_line(one) + to_line(two) + b'{"id": 3, "pro')
    assert read_records([tmp_path / "r"]) == [two, one]


def waiter(waited_s, low_s, high_s, position=1):
    return record(1, 0.0, 99.0, told=[Told(0.0, position, low_s, high_s)], assigned=[(waited_s, "a")])


def test_a_word_is_kept_within_the_interval_and_broken_at_half_as_much_again():
    waits = [waiter(w, 1.0, 2.0) for w in (0.5, 1.0, 1.5, 2.0, 2.9, 3.1)] + [waiter(0.01, 1.0, 2.0)]
    found = kept(waits)
    assert (found.waiters, found.within, found.late) == (6, 0.5, pytest.approx(1 / 6))


def test_the_naive_estimate_is_place_times_mean_over_slots():
    waits = [waiter(3.0, 0, 0, position=4), waiter(1.9, 0, 0, position=4)]
    assert naive_kept(waits, slots=4, mean_s=1.9).late == 0.5


def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed():
    assert [percentile([1, 6], q) for q in (0, 50, 51, 100)] == [1, 1, 6, 6]
    assert [percentile(range(1, 101), q) for q in (1, 50, 95, 99, 100)] == [1, 50, 95, 99, 100]


def test_the_modest_wait_as_long_as_under_an_ideal_scheduler_or_longer():
    subjects = ["greedy", "greedy", "greedy", "modest"]
    records = [record(n, float(n == 4), 9, subject=s) for n, s in enumerate(subjects, start=1)]
    in_order = [attempt(n, "b", 0, 2 * (n - 1), 2 * n) for n in (1, 2, 3, 4)]
    found = waits_beside_ideal(records, in_order, 1, lambda s: s == "modest")
    assert (found.real_s, found.ideal_s) == (5, 1)


def test_shares_of_equals_are_counted_until_the_first_has_nobody_waiting():
    records = [record(n, 0, 9, subject=s) for n, s in enumerate("aabb", start=1)]
    in_turns = [attempt(n, "b", 0, at, at + 2) for n, at in ((1, 0), (3, 2), (2, 4), (4, 6))]
    one_first = [attempt(n, "b", 0, at, at + 2) for n, at in ((1, 0), (2, 2), (3, 4), (4, 6))]
    assert jain_of_backlogged(records, in_turns) == 1.0
    assert jain_of_backlogged(records, one_first) == 0.5


def test_figures_count_the_window_and_call_good_what_began_in_time():
    nothing = Idleness(1, 0, 0, 0)
    records = [
        record(1, 1, 4, first_s=2, output_tokens=50),
        record(2, 2, 9, first_s=8, output_tokens=30),
        record(3, 3, 3.5, outcome="pool_full"),
        record(4, 99, 100, first_s=99.5, output_tokens=70),
    ]
    found = figures(records, [], SLOTS, nothing, (0.0, 10.0), patience_s=5.0)
    assert (found.asked, dict(found.outcomes)) == (3, {"done": 2, "pool_full": 1})
    assert (found.tokens_per_s, found.good_per_s) == (8.0, 0.1)
    assert (found.first_s[0], found.refused_s) == (1, 0.5)
