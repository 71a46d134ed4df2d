"""The pure rules behind bench_pool: loads, flows, ideal schedulers, shares."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.pool.arrivals import (
    Arrival,
    Row,
    all_at_once,
    arrival_id,
    asked,
    filled,
    memoryless,
    one_greedy,
    read_trace,
)
from loadtests.pool.fairness import Job, fair_waits_s, fifo_waits_s, jain
from loadtests.pool.flow import most_served
from loadtests.pool.machines import Machine, most_per_s, seconds_of
from ollama_emulator.tokens import message_tokens

ROWS = [Row(float(n * n), 100 + n, 10 + n) for n in range(200)]


@given(st.integers(1, 9999), st.integers(1, 3000), st.integers(1, 1000))
def test_a_prompt_has_the_tokens_it_should_have_and_names_its_arrival(number, prompt, output):
    prompted = Arrival(number, 0.0, prompt, output, "m", "s").prompt
    tokens = len(message_tokens({"role": "user", "content": prompted}))
    assert tokens == prompt or (prompt < 16 and tokens < 16)
    assert arrival_id(prompted) == number


def test_another_prompt_names_nobody():
    assert arrival_id("hello") is None
    assert arrival_id("") is None


def test_a_trace_is_read_without_its_neighbours(tmp_path):
    file = tmp_path / "arrivals.csv"
    file.write_text("trace,t_s,prompt_tokens,output_tokens,prefix_reuse_tokens\na,0.5,3,4,\nb,1,5,6,512\n")
    assert read_trace(file, "a") == [Row(0.5, 3, 4)]


@pytest.mark.parametrize("load", [0.5, 1.2])
def test_a_load_is_that_share_of_what_can_be_served_with_the_traces_own_gaps(load):
    machines = [Machine("a"), Machine("b", slots=1, speed=0.2)]

    def cost_s(row):
        return seconds_of(machines, row.prompt_tokens, row.output_tokens)

    rows = filled(ROWS, cost_s, load, 10.0, skip=3)
    assert sum(map(cost_s, rows)) / 10.0 == pytest.approx(load, rel=0.05)
    assert (rows[0].at_s, rows[0].prompt_tokens) == (0.0, 103)
    assert rows[-1].at_s < 10.0
    gaps = [b.at_s - a.at_s for a, b in itertools.pairwise(rows)]
    assert gaps[1] / gaps[0] == pytest.approx(9 / 7)


def test_a_trace_that_is_too_short_is_no_load():
    with pytest.raises(ValueError, match="too short"):
        filled(ROWS, lambda _: 1.0, 1.0, 1000.0)


def test_a_poisson_process_keeps_lengths_and_mean_rate():
    rows = memoryless(ROWS, 50.0, random.Random(1))
    assert [r.output_tokens for r in rows] == [r.output_tokens for r in ROWS]
    assert rows == sorted(rows, key=lambda r: r.at_s)
    assert 20 < sum(r.at_s for r in rows) / len(rows) < 30


def test_requests_are_numbered_and_spread_over_models_and_subjects():
    found = asked(ROWS, random.Random(1), models=["x", "y"], subjects=3)
    assert [a.id for a in found] == list(range(1, 201))
    assert {a.model for a in found} == {"x", "y"}
    assert len({a.subject for a in found}) == 3


def test_one_greedy_subject_sends_all_at_once_and_the_others_in_turn():
    found = one_greedy(ROWS, "m", at_once=5, others=2, every_s=4.0, seconds=10.0)
    assert [a.at_s for a in found if a.subject == "greedy"] == [0.0] * 5
    assert [a.at_s for a in found if a.subject == "modest-0"] == [2.0, 6.0, 10.0]
    assert [a.at_s for a in found if a.subject == "modest-1"] == [4.0, 8.0]


def test_a_slower_machine_takes_longer_in_proportion():
    fast, slow = Machine("a").request_s(1000, 200), Machine("b", speed=0.2).request_s(1000, 200)
    assert slow == pytest.approx(5 * fast)
    assert seconds_of([Machine("a"), Machine("b")], 1000, 200) == pytest.approx(fast / 2)
    assert Machine("c", slots=1).request_s(1000, 200) > fast


def test_equal_subjects_alternate():
    found = all_at_once(ROWS, "m", subjects=3, each=2)
    assert [a.subject for a in found] == ["equal-1", "equal-2", "equal-0"] * 2


def test_the_fluid_optimum_is_what_is_asked_or_what_there_is_room_for():
    machines = [Machine("a", models=("x", "y")), Machine("b", slots=1, models=("x",))]
    alone, one_slot = (1 / machine.request_s(100, 100) for machine in machines)
    assert most_per_s(machines, {"x": 0.5, "y": 0.5}, 100, 100) == pytest.approx(1.0)
    assert most_per_s(machines, {"x": 99, "y": 99}, 100, 100) == pytest.approx(alone + one_slot)
    assert most_per_s(machines, {"x": 0, "y": 99}, 100, 100) == pytest.approx(alone)


# -- flow ---------------------------------------------------------------------------------------------------

PAIRS = {("x", "a"), ("x", "b"), ("y", "b"), ("y", "c")}


def may(kind, server):
    return (kind, server) in PAIRS


def test_what_fits_nowhere_else_pushes_others_aside():
    assert most_served({"x": 2, "y": 3}, {"a": 2, "b": 3, "c": 0}, may) == 5
    assert most_served({"x": 5, "y": 1}, {"a": 1, "b": 2, "c": 1}, may) == 4
    assert most_served({"z": 5}, {"a": 1}, may) == 0


@given(
    st.lists(st.integers(0, 6), min_size=3, max_size=3),
    st.lists(st.integers(0, 6), min_size=3, max_size=3),
    st.sets(st.tuples(st.sampled_from("xyz"), st.sampled_from("abc"))),
)
def test_the_most_served_is_the_smallest_cut(kinds, rooms, pairs):
    asks, room = dict(zip("xyz", kinds, strict=True)), dict(zip("abc", rooms, strict=True))
    cuts = []
    for keep in itertools.product([True, False], repeat=3):
        kept = {kind for kind, kept in zip("xyz", keep, strict=True) if kept}
        reached = {server for kind, server in pairs if kind in kept}
        cuts.append(sum(asks[k] for k in set("xyz") - kept) + sum(room[s] for s in reached))
    assert most_served(asks, room, lambda k, s: (k, s) in pairs) == pytest.approx(min(cuts))


# -- ideal schedulers ---------------------------------------------------------------------------------------


def test_one_queue_serves_in_order_of_arrival():
    jobs = [Job(0, "a", 3), Job(1, "b", 1), Job(1, "a", 1), Job(10, "a", 1)]
    assert fifo_waits_s(jobs, 1) == [0, 2, 3, 0]
    assert fifo_waits_s(jobs, 2) == [0, 0, 1, 0]


def test_a_fair_scheduler_serves_the_modest_before_the_rest_of_the_greedy():
    jobs = [Job(0, "greedy", 1.0) for _ in range(10)] + [Job(0.5, "modest", 1.0)]
    assert fifo_waits_s(jobs, 1)[-1] == 9.5
    assert fair_waits_s(jobs, 1)[-1] == 0.5


def test_a_fair_scheduler_takes_turns_by_cost():
    jobs = [Job(0, "x", 1.0)] + [Job(0, "long", 4.0)] * 2 + [Job(0, "short", 1.0)] * 4
    waits = fair_waits_s(jobs, 1)
    assert waits[1] == 1
    assert sorted(waits[3:]) == [5, 6, 7, 8]
    assert waits[2] == 9


def test_what_somebody_had_before_all_were_idle_does_not_count():
    jobs = [Job(0, "a", 5.0), Job(20, "z", 1.0), Job(20, "a", 1.0), Job(20, "b", 1.0)]
    assert fair_waits_s(jobs, 1)[2:] == [1.0, 2.0]


JOBS = st.lists(
    st.builds(Job, st.floats(0, 20), st.sampled_from("abc"), st.floats(0.1, 5)), min_size=1, max_size=25
).map(lambda jobs: sorted(jobs, key=lambda job: job.at_s))


@given(JOBS, st.integers(1, 4))
def test_an_ideal_scheduler_never_idles_a_slot_nor_uses_one_too_many(jobs, slots):
    for waits in (fair_waits_s(jobs, slots), fifo_waits_s(jobs, slots)):
        runs = [(j.at_s + w, j.at_s + w + j.service_s) for j, w in zip(jobs, waits, strict=True)]
        for job, wait in zip(jobs, waits, strict=True):
            assert wait >= 0
            if wait > 1e-6:
                at = job.at_s + wait / 2
                assert sum(begin <= at < end for begin, end in runs) == slots
        assert all(sum(b <= at < e - 1e-9 for b, e in runs) <= slots for at, _ in runs)


@given(JOBS)
def test_with_one_slot_both_orders_are_done_at_the_same_time(jobs):
    ends = [
        max(j.at_s + w + j.service_s for j, w in zip(jobs, waits, strict=True))
        for waits in (fair_waits_s(jobs, 1), fifo_waits_s(jobs, 1))
    ]
    assert ends[0] == pytest.approx(ends[1])


def test_jains_index_is_one_for_equals_and_a_share_for_one_who_has_all():
    assert jain([3, 3, 3]) == 1
    assert jain({"a": 1, "b": 0, "c": 0, "d": 0}) == 0.25
