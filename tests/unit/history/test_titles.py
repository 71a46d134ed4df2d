from hypothesis import given
from hypothesis import strategies as st

from backend.history.titles import TITLE_CHARS, title_of


@given(st.text(max_size=400))
def test_a_title_is_one_short_line(question):
    title = title_of(question)
    assert len(title) <= TITLE_CHARS + 1
    assert title.splitlines() in ([], [title])


def test_a_long_question_is_cut_at_a_word():
    assert title_of("word " * 40).endswith("word…")
