from hypothesis import given
from hypothesis import strategies as st

from backend.retrieval.spelling import allowed, distance

terms = st.text("abcé", max_size=8)


def test_slips_of_the_pen_are_counted():
    assert [distance("virtual", other, 2) for other in ("virtual", "vitrual", "virtul", "virrtual")] == [
        0,
        1,
        1,
        1,
    ]
    assert distance("virtual", "ritual", 2) == 2
    assert distance("virtual", "table", 2) == 3


@given(terms, terms)
def test_a_distance_is_the_same_both_ways_and_bounded(a, b):
    assert distance(a, b, 2) == distance(b, a, 2) <= 3
    assert (distance(a, b, 2) == 0) == (a == b)


def test_short_words_and_numbers_are_taken_as_they_are():
    assert [allowed(term) for term in ("it", "pret", "12345", "sabat", "pseudonimis")] == [0, 0, 0, 1, 2]
