import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.types import Language
from backend.retrieval.gate import Signs
from tests.support.calibrations import MINILM, WORDS_ALONE

bearing = MINILM.gate.bearing

shares = st.floats(0, 1)
counts = st.floats(0, 60)
languages = st.sampled_from(("fr", "en", "de"))


@given(st.none() | st.floats(-1, 1), st.none() | shares, st.none() | counts, languages)
def test_a_score_is_a_share(cosine, covers, matched, language):
    assert 0 <= bearing(Signs(cosine, covers, matched), language) <= 1


@given(shares, shares, counts, shares, shares, counts, languages)
def test_more_of_every_sign_never_scores_less(cosine, covers, matched, more_c, more_w, more_m, language):
    less = Signs(cosine, covers, matched)
    more = Signs(cosine + more_c, covers + more_w, matched + more_m)
    assert bearing(more, language) >= bearing(less, language)


@pytest.mark.parametrize("language", ["fr", "en", "de"])
def test_each_index_alone_can_tell_good_from_bad(language):
    for good, bad in (
        (Signs(0.9, 1.0, 4.0), Signs(0.1, 0.0, 0.0)),
        (Signs(0.9, None, None, 0.5), Signs(0.1, None, None, 0.0)),
        (Signs(None, 1.0, 4.0), Signs(None, 0.05, 0.2)),
    ):
        assert bearing(good, language) > 0.5 > bearing(bad, language)


@given(shares, shares, counts, languages)
def test_what_no_one_measured_of_an_embedder_does_not_count(cosine, covers, matched, language: Language):
    gate = WORDS_ALONE.gate
    score = gate.bearing(Signs(cosine, covers, matched), language)
    assert score == gate.bearing(Signs(None, covers, matched), language)
    assert score == bearing(Signs(None, covers, matched), language)
    assert gate.bearing(Signs(cosine, None, None), language) is None
