from collections import Counter

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from backend.pool.preference import AFFINITY_BONUS, SLOWEST, Profile, preferences

names = st.text("abcdefgh", min_size=1, max_size=3)
speeds = st.floats(0.5, 500)
pools = st.dictionaries(names, st.builds(Profile, tokens_per_s=speeds), min_size=1, max_size=8)
half_known = st.dictionaries(
    names,
    st.builds(Profile, tokens_per_s=st.none() | speeds, on_gpu=st.none() | st.floats(0, 1)),
    min_size=1,
    max_size=8,
)
KEYS = [f"conversation {n}" for n in range(50)]


def home(facts, key):
    plain, with_key = preferences(facts, ""), preferences(facts, key)
    (one,) = [name for name in facts if with_key[name] > plain[name]]
    return one


def test_preference_is_proportional_to_speed_and_the_unknown_are_as_the_median():
    facts = {
        "a": Profile(tokens_per_s=100),
        "b": Profile(tokens_per_s=50),
        "c": Profile(tokens_per_s=20),
        "d": Profile(),
    }
    assert preferences(facts, "") == {"a": 1.0, "b": 0.5, "c": 0.2, "d": 0.5}


def test_where_nothing_is_known_all_are_equal():
    assert preferences({"a": Profile(), "b": Profile()}, "") == {"a": 1.0, "b": 1.0}
    assert preferences({}, "key") == {}


def test_until_it_is_measured_an_instance_on_the_cpu_is_compared_with_others_of_its_kind():
    gpu, cpu = Profile(tokens_per_s=100, on_gpu=1.0), Profile(tokens_per_s=10, on_gpu=0.0)
    new = Profile(on_gpu=0.0)
    assert preferences({"gpu": gpu, "new": new}, "")["new"] == pytest.approx(0.1)
    assert preferences({"cpu": cpu, "new": new}, "")["new"] == pytest.approx(1.0)


@given(half_known, st.sampled_from(["", *KEYS]))
def test_every_instance_has_a_weight_and_the_fastest_has_one_or_the_bonus(facts, key):
    given_weights = preferences(facts, key)
    assert set(given_weights) == set(facts)
    assert all(SLOWEST <= weight <= AFFINITY_BONUS for weight in given_weights.values())
    assert max(given_weights.values()) >= 1.0


@given(pools, st.data(), st.floats(1, 10))
def test_who_gets_faster_is_not_preferred_less_nor_are_the_others_more(facts, data, factor):
    name = data.draw(st.sampled_from(sorted(facts)))
    faster = {**facts, name: Profile(tokens_per_s=facts[name].tokens_per_s * factor)}
    before, after = preferences(facts, ""), preferences(faster, "")
    assert after[name] >= before[name]
    assert all(after[other] <= before[other] for other in facts if other != name)


@given(pools)
def test_the_faster_of_two_has_at_least_the_weight_of_the_other(facts):
    ranked = sorted(facts, key=lambda name: facts[name].tokens_per_s)
    given_weights = preferences(facts, "")
    assert sorted(given_weights.values()) == [given_weights[name] for name in ranked]


@given(pools, names, speeds)
def test_a_newcomer_takes_keys_and_moves_no_others(facts, newcomer, speed):
    before = {name: fact for name, fact in facts.items() if name != newcomer}
    assume(before)
    after = {**before, newcomer: Profile(tokens_per_s=speed)}
    for key in KEYS[:10]:
        assert home(after, key) in (home(before, key), newcomer)


def test_each_is_home_to_as_many_conversations_as_it_is_fast():
    facts = {"a": Profile(tokens_per_s=100), "b": Profile(tokens_per_s=100), "c": Profile(tokens_per_s=20)}
    count = Counter(home(facts, f"{n}") for n in range(2200))
    assert 900 < count["a"] < 1100
    assert 900 < count["b"] < 1100
    assert 140 < count["c"] < 260


def test_the_home_of_a_key_is_the_same_in_every_process_and_release():
    facts = {name: Profile() for name in ("one", "two", "three")}
    assert [home(facts, key) for key in ("x", "y", "z", "ü")] == ["one", "three", "one", "two"]


@given(st.sampled_from(KEYS))
def test_an_idle_equal_is_preferred_to_a_home_that_is_three_quarters_free(key):
    facts = {"a": Profile(), "b": Profile()}
    given_weights = preferences(facts, key)
    at_home = home(facts, key)
    (other,) = facts.keys() - {at_home}
    assert given_weights[at_home] * 0.75 < given_weights[other] < given_weights[at_home]
