import json
from dataclasses import asdict, fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.errors import (
    ContextOverflow,
    EngineError,
    EngineRefused,
    EngineRejected,
    EngineTimeout,
    EngineTruncated,
    EngineUnreachable,
    ModelMissing,
)
from backend.pool.health import FAILURES_IN_A_ROW, Health, failed, succeeded
from backend.pool.note_forms import HEALTH

AT_ONCE = [EngineUnreachable(), EngineTimeout(), EngineRefused()]
THIRD_IN_A_ROW = [EngineTruncated(), EngineError()]
SAYS_NOTHING = [EngineRejected(), ContextOverflow(), ModelMissing()]

randoms = st.floats(0, 1, exclude_max=True)
moments = st.floats(0, 1e9)
healths = st.builds(
    Health,
    failures=st.integers(0, 9),
    trips=st.integers(0, 99),
    open_until=st.none() | moments,
    reason=st.text(max_size=9),
    hangs=st.booleans(),
    refused_model=st.text(max_size=9),
    since=st.none() | moments,
    lengthened=st.booleans(),
)


def fail(health, error, now=0.0, *, random=0.5, began=None, model=""):
    return failed(health, error, now, quarantine_s=30.0, random=random, began=began, model=model)


@pytest.mark.parametrize("error", AT_ONCE)
def test_refusal_and_silence_open_at_once(error):
    health = fail(Health(), error, 100.0)
    assert [health.state(t) for t in (100.0, 129.9, 130.0)] == ["open", "open", "half_open"]
    assert health.reason == error.code
    assert health.hangs == isinstance(error, EngineTimeout)


def test_a_refusal_tells_the_operator_why_in_words_and_which_model_was_refused():
    health = fail(Health(), EngineRefused(reason="wrong key"), model="m")
    assert (health.reason, health.refused, health.refused_model) == ("wrong key", True, "m")
    again = fail(health, EngineRefused(reason="no credit left"), 40.0)
    assert (again.reason, again.trips) == ("no credit left", 2)


@pytest.mark.parametrize("error", THIRD_IN_A_ROW)
def test_other_failures_open_at_the_third_in_a_row(error):
    health = Health()
    for _ in range(FAILURES_IN_A_ROW - 1):
        health = fail(health, error)
        assert health.state(0) == "closed"
    assert fail(health, error).state(0) == "open"
    assert fail(succeeded(health), error).state(0) == "closed"


@given(healths, moments, st.sampled_from(SAYS_NOTHING))
def test_a_refused_request_is_never_held_against_the_instance(health, now, error):
    assert fail(health, error, now) == (health if health.hangs else succeeded(health))


@given(st.integers(0, 99), randoms, st.sampled_from(AT_ONCE), moments)
def test_each_opening_is_twice_as_long_up_to_ten_times_the_first(trips, random, error, now):
    health = fail(Health(trips=trips), error, now, random=random)
    times = min(2**trips, 10)
    assert health.trips == trips + 1
    assert now + 0.8 * 30 * times - 1e-6 <= health.open_until <= now + 1.2 * 30 * times + 1e-6


@given(st.sampled_from(AT_ONCE + THIRD_IN_A_ROW), st.sampled_from(AT_ONCE + THIRD_IN_A_ROW))
def test_a_probe_that_fails_opens_again_whatever_the_failure(first, second):
    opened = fail(Health(failures=2), first, 0.0)
    again = fail(opened, second, opened.open_until)
    assert again.state(opened.open_until) == "open"
    assert again.open_until - opened.open_until == 2 * opened.open_until
    assert again.hangs == isinstance(second, EngineTimeout)


@given(st.lists(st.tuples(st.floats(0, 29.9), st.sampled_from(AT_ONCE + THIRD_IN_A_ROW)), max_size=8))
def test_the_other_slots_failing_for_the_same_cause_lengthen_an_opening_once(late):
    health = opened = fail(Health(), EngineTimeout(), 0.0)
    moves = {opened.open_until}
    for now, error in sorted(late, key=lambda pair: pair[0]):
        health = fail(health, error, now, began=-5.0)
        moves.add(health.open_until)
    assert health.trips == opened.trips
    assert len(moves) <= 2
    assert opened.open_until <= health.open_until < 2 * opened.open_until
    assert health.hangs


def test_a_failure_of_what_began_before_the_opening_is_not_taken_for_the_probes():
    opened = fail(Health(), EngineTimeout(), 0.0)
    assert fail(opened, EngineTimeout(), 40.0, began=-60.0) == opened
    assert fail(opened, EngineTimeout(), 40.0, began=35.0).trips == 2


def test_an_instance_that_is_well_again_is_not_opened_by_what_began_before():
    well = succeeded(fail(Health(), EngineTimeout(), 0.0), began=35.0)
    assert fail(well, EngineTimeout(), 90.0, began=-30.0) == well
    assert fail(well, EngineTimeout(), 90.0, began=36.0).state(90.0) == "open"


def test_a_request_that_hangs_while_others_succeed_counts():
    health = succeeded(Health(), began=10.0)
    assert fail(health, EngineTimeout(), 60.0, began=0.0).state(60.0) == "open"


@given(healths, st.none() | moments, moments)
def test_a_success_closes_unless_it_began_before_the_opening(health, began, now):
    after = succeeded(health, began=began)
    is_open = health.open_until is not None
    if is_open and None not in (began, health.since) and began < health.since:
        assert after == health
    else:
        assert after == Health(since=after.since)
        assert after.state(now) == "closed"


def test_a_late_success_leaves_a_hanging_instance_to_the_probe():
    hanging = fail(Health(), EngineTimeout(), 100.0)
    assert succeeded(hanging, began=80.0) == hanging
    assert succeeded(hanging, began=131.0).state(131.0) == "closed"


def test_a_well_instance_stays_the_same_record():
    assert succeeded(Health(), began=5.0) == Health()


@given(healths)
def test_the_record_survives_json(health):
    assert HEALTH.read(json.loads(json.dumps(HEALTH.write(health)))) == health


NAMES = [field.name for field in fields(Health)]


@given(healths, st.sets(st.sampled_from(NAMES)))
def test_a_record_of_another_release_is_understood(health, missing):
    record = {name: value for name, value in asdict(health).items() if name not in missing}
    read = HEALTH.read({**record, "invented_later": 1})
    assert all(
        getattr(read, name) == getattr(Health() if name in missing else health, name) for name in NAMES
    )
