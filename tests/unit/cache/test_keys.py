"""What makes two questions the same, and what keeps them apart."""

from dataclasses import fields, replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from backend.cache.keys import AnswerKey, normalised
from backend.core.types import Message, Sampling
from backend.core.variant import Variant
from tests.support.records import a_variant

words = st.text(max_size=12)
finite = st.floats(0, 2, allow_nan=False)
samplings = st.builds(Sampling, finite, st.integers(1, 4096), st.booleans())
variants = st.builds(Variant, words, words, words, samplings, words, st.none() | st.integers(1, 2**31))
messages = st.builds(Message, st.sampled_from(["user", "assistant"]), words)
versions = st.lists(st.tuples(words, words), max_size=3).map(tuple)
turns = st.lists(messages, max_size=3).map(tuple)
keys = st.builds(AnswerKey, words, variants, versions, st.sampled_from(["fr", "en"]), words, turns)
KEY = AnswerKey("t", a_variant(), (("a", "1"), ("b", "2")), "en", "When is it open?", (Message("user", "?"),))


def same(one: AnswerKey, other: AnswerKey) -> bool:
    """Whether both are the same but for what is folded."""
    return replace(one, question=normalised(one.question)) == replace(
        other, question=normalised(other.question)
    )


@given(keys, keys)
def test_two_keys_have_one_digest_only_if_they_are_the_same(one: AnswerKey, other: AnswerKey) -> None:
    assert (one.flight_digest() == other.flight_digest()) == same(one, other)
    names = [tuple(name for name, _ in key.versions) for key in (one, other)]
    alike = same(replace(one, versions=()), replace(other, versions=())) and names[0] == names[1]
    assert (one.digest() == other.digest()) == alike


@given(keys, st.data())
def test_any_single_difference_gives_another_digest(key: AnswerKey, data) -> None:
    other = data.draw(keys)
    for field in fields(AnswerKey):
        changed = replace(key, **{field.name: getattr(other, field.name)})
        if not same(changed, key):
            assert changed.flight_digest() != key.flight_digest()


@given(variants, variants)
def test_variants_have_one_id_only_if_they_are_equal(one: Variant, other: Variant) -> None:
    assert (one.id == other.id) == (one == other)


@given(variants, st.data())
def test_every_field_of_a_variant_is_in_its_id(variant: Variant, data) -> None:
    other = data.draw(variants)
    for field in fields(Variant):
        changed = replace(variant, **{field.name: getattr(other, field.name)})
        assert (changed.id == variant.id) == (changed == variant)
    for field in fields(Sampling):
        value = getattr(other.sampling, field.name)
        changed = replace(variant, sampling=replace(variant.sampling, **{field.name: value}))
        assert (changed.id == variant.id) == (changed == variant)


@given(words, words, words, words)
def test_parts_do_not_run_into_each_other(a: str, b: str, c: str, d: str) -> None:
    assume((a, b) != (c, d))
    one, other = (replace(KEY, tenant=x, versions=((y, ""),)) for x, y in ((a, b), (c, d)))
    assert one.flight_digest() != other.flight_digest()


def test_what_is_kept_under_a_key_outlives_a_change_of_the_documents_and_a_flight_does_not() -> None:
    changed = replace(KEY, versions=(("a", "1"), ("b", "3")))
    assert changed.digest() == KEY.digest()
    assert changed.flight_digest() != KEY.flight_digest()
    assert replace(KEY, versions=(("a", "1"),)).digest() != KEY.digest(), "other corpora are searched"


@given(keys)
def test_a_kept_answer_and_a_flight_never_share_a_digest(key: AnswerKey) -> None:
    assert key.digest() != key.flight_digest()


@pytest.mark.parametrize(
    "asked", ["when is it open?", " When  is\tit open? ", "WHEN IS IT OPEN?", "Ｗhen is it open?"]
)
def test_case_spacing_and_form_are_no_difference(asked: str) -> None:
    assert replace(KEY, question=asked).digest() == KEY.digest()


@pytest.mark.parametrize("asked", ["When is it open", "When was it open?", "Whén is it open?", ""])
def test_accents_punctuation_and_words_are(asked: str) -> None:
    assert replace(KEY, question=asked).digest() != KEY.digest()
