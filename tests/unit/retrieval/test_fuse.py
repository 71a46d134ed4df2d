from hypothesis import given
from hypothesis import strategies as st

from backend.retrieval.fuse import Ranking, fused, spread
from tests.support.shelf import passage

ids = st.lists(st.sampled_from("abcdefghij"), unique=True)
weights = st.floats(0.01, 10)
constants = st.floats(0.1, 100)
rankings = st.lists(st.builds(Ranking, ids, weights), max_size=4)


@given(rankings, constants)
def test_every_id_comes_once_and_nothing_else(some, k):
    assert sorted(fused(some, k=k)) == sorted({id for ranking in some for id in ranking.ids})


@given(ids, weights, constants)
def test_one_ranking_is_left_as_it_is(one, weight, k):
    assert fused([Ranking(one, weight)], k=k) == one


@given(ids, rankings, constants)
def test_agreement_is_kept(one, others, k):
    """Rankings that all say the same give the same."""
    assert fused([Ranking(one, ranking.weight) for ranking in others] or [Ranking(one)], k=k) == one


@given(st.permutations("abcdef"), st.permutations("abcdef"), constants)
def test_an_id_above_another_in_every_ranking_stays_above(first, second, k):
    order = fused([Ranking(first, 2.0), Ranking(second)], k=k)
    for a in "abcdef":
        for b in "abcdef":
            if first.index(a) < first.index(b) and second.index(a) < second.index(b):
                assert order.index(a) < order.index(b)


@given(st.permutations("abcdef"), st.permutations("abcdef"), constants)
def test_an_overwhelming_weight_decides(first, second, k):
    assert fused([Ranking(first, 1e9), Ranking(second)], k=k) == list(first)


def test_the_weights_are_those_of_the_formula():
    # The sums are 0.258 for b (second and first), 0.182 for a (first), 0.083 for c (second).
    assert fused([Ranking("ab", 2.0), Ranking("bc", 1.0)], k=10) == ["b", "a", "c"]


def test_an_id_twice_in_a_ranking_counts_once():
    assert fused([Ranking("bbbb"), Ranking("a", 1.5)], k=1) == ["a", "b"]


documents = st.lists(st.sampled_from(("r1", "r2", "r3")), max_size=12)


@given(documents, st.integers(1, 4))
def test_spreading_loses_and_adds_nothing(revisions, most):
    some = [passage(revision=revision) for revision in revisions]
    assert sorted(p.id for p in spread(some, most)) == sorted(p.id for p in some)


@given(documents, st.integers(1, 4))
def test_passages_of_one_document_keep_their_order(revisions, most):
    some = [passage(revision=revision) for revision in revisions]
    after = spread(some, most)
    for document in {p.document for p in some}:
        assert [p for p in after if p.document == document] == [p for p in some if p.document == document]


def test_a_long_document_leaves_room_for_others():
    long, other = [passage(revision="long") for _ in range(4)], passage(revision="other")
    assert spread([*long, other], 2) == [long[0], long[1], other, long[2], long[3]]
