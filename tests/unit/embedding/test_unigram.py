"""Pieces of texts, as the library `tokenizers` cuts them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import Unigram
from tokenizers.normalizers import NFC
from tokenizers.pre_tokenizers import Metaspace, Sequence, WhitespaceSplit

from backend.embedding.packed import Vocabulary
from backend.embedding.unigram import UnigramTokens
from tests.support.tiny_packed import PIECES, READ_AS, SPECIAL

VOCABULARY = Vocabulary([*SPECIAL, *PIECES], [0.0] * 4 + list(PIECES.values()), 0, 2, 3, READ_AS)
OURS = UnigramTokens(VOCABULARY, 12)


@pytest.fixture(scope="module")
def theirs() -> Tokenizer:
    made = Tokenizer(Unigram(list(zip(VOCABULARY.pieces, VOCABULARY.scores, strict=True)), 3, False))
    made.normalizer = NFC()
    made.pre_tokenizer = Sequence([WhitespaceSplit(), Metaspace("\u2581", prepend_scheme="always")])
    return made


@given(text=st.text(alphabet="abelok s\u00e9\u0301xyz\n\U0001f916", max_size=60))
def test_they_are_those_of_the_library(text: str, theirs: Tokenizer) -> None:
    wanted = theirs.encode(text, add_special_tokens=False).ids
    assert OURS.count(text) == len(wanted)
    assert OURS.ids(text).tolist() == [[0, *wanted[:10], 2]]


def test_the_names_of_special_tokens_in_a_text_are_only_words() -> None:
    assert OURS.ids("</s>").tolist()[0].count(2) == 1
    assert 0 not in OURS.ids("<s>").tolist()[0][1:]


def test_what_is_not_seen_is_not_read() -> None:
    assert OURS.ids("bo\x07ok").tolist() == OURS.ids("book").tolist()
    assert OURS.ids("a\u200bloan").tolist() == OURS.ids("a loan").tolist()


def test_a_text_is_cut_where_the_model_ends_and_counted_whole() -> None:
    assert OURS.ids("book " * 100).shape == (1, 12)
    assert OURS.count("book " * 100) == 100
    assert OURS.count("") == 0
    assert OURS.ids("").tolist() == [[0, 2]]


def test_a_word_without_an_end_is_cut_in_time_and_memory_that_grow_with_it() -> None:
    assert OURS.count("ab" * 20_000) == pytest.approx(20_000, rel=0.01)
