"""Ids follow from what they name, and from nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backend.corpus.base import CorpusRef
from backend.corpus.ids import document_id, passage_id, revision_id

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
named = st.tuples(words, words, words, words, words)


@given(named, named)
def test_revisions_share_an_id_only_if_all_is_the_same(a, b):
    ids = [revision_id(CorpusRef(t, c), name, sha, maker) for t, c, name, sha, maker in (a, b)]
    assert (ids[0] == ids[1]) == (a == b)


@given(named, named)
def test_documents_share_an_id_only_within_a_corpus_and_a_name(a, b):
    ids = [document_id(CorpusRef(t, c), name) for t, c, name, *_ in (a, b)]
    assert (ids[0] == ids[1]) == (a[:3] == b[:3])


@given(st.lists(st.integers(0, 10**6), unique=True))
def test_passages_of_a_revision_have_ids_of_their_own(ordinals):
    assert len({passage_id("r", n) for n in ordinals}) == len(ordinals)
