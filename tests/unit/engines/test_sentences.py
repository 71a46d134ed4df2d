from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.engines.sentences import cut, is_question

CUTS = Path(__file__).parent / "cuts"
"""By language, one paragraph a line, ` // ` where it is to be cut."""


@pytest.mark.parametrize("language", ["de", "en", "es", "fr", "it"])
def test_sentences_are_cut_where_a_reader_would(language):
    wrong = []
    for line in (CUTS / f"{language}.txt").read_text("utf-8").splitlines():
        expected = line.split(" // ")
        if (got := cut(" ".join(expected))) != expected:
            wrong.append(got)
    assert not wrong


@pytest.mark.parametrize("space", ["\u00a0", "\u202f"])
def test_a_french_space_before_a_mark_is_no_border(space):
    text = f"Est-ce gratuit{space}? Oui{space}! «{space}Entrez.{space}» Il sourit."
    assert cut(text) == [f"Est-ce gratuit{space}?", f"Oui{space}!", f"«{space}Entrez.{space}»", "Il sourit."]


@pytest.mark.parametrize("text", ["Is it free?", "« Est-ce gratuit ? »", "(Why?)"])
def test_a_question_is_told_by_its_mark(text):
    assert is_question(text)


@given(st.text(alphabet='Ab éÀ.!?…«»"()-:;,1\u202f', max_size=300))
def test_nothing_is_lost(text):
    assert "".join("".join(cut(text)).split()) == "".join(text.split())
