from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from backend.engines.base import Thought
from backend.engines.thinking import ThinkTags


def split(*parts):
    tags = ThinkTags()
    pieces = [piece for part in parts for piece in tags.feed(part)] + tags.flush()
    thought = "".join(p.text for p in pieces if isinstance(p, Thought))
    return thought, "".join(p.text for p in pieces if not isinstance(p, Thought))


def test_reasoning_and_answer_are_told_apart():
    assert split("<think>\nwhy\n</think>\n\nso") == ("why\n", "so")


def test_an_answer_may_speak_of_the_tag():
    assert split("Write <think>x</think>") == ("", "Write <think>x</think>")


def test_reasoning_that_never_closes_stays_reasoning():
    assert split("<think>on and on </thi") == ("on and on </thi", "")


@given(st.text(alphabet="<think>/ a\n", max_size=60), st.lists(st.integers(0, 60), max_size=8))
def test_however_the_text_is_split_the_result_is_the_same(text, cuts):
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    assert split(*(text[a:b] for a, b in pairwise(edges))) == split(text)
