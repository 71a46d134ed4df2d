import re
from copy import copy

from hypothesis import given
from hypothesis import strategies as st

from backend.chat.citations import CitationFilter


def filtered(pieces: list[str], sources: int) -> tuple[str, set[int]]:
    gate = CitationFilter(sources)
    text = "".join(gate.feed(piece) for piece in pieces) + gate.rest()
    return text, gate.cited


def test_a_citation_of_a_source_is_kept_and_counted() -> None:
    assert filtered(["Open at 9 [1], closed at 5 [2]."], 2) == ("Open at 9 [1], closed at 5 [2].", {1, 2})


def test_a_citation_that_names_no_source_goes_with_its_blank() -> None:
    assert filtered(["Open at 9 [7]."], 2) == ("Open at 9.", set())
    assert filtered(["Never [0]."], 2) == ("Never.", set())


def test_several_numbers_in_one_pair_of_brackets_are_taken_apart() -> None:
    assert filtered(["So it is [1, 9; 2]."], 2) == ("So it is [1][2].", {1, 2})


def test_a_citation_cut_by_the_stream_is_still_seen() -> None:
    assert filtered(["Open [", "1", "], shut [", "9]", "."], 1) == ("Open [1], shut.", {1})


def test_brackets_that_are_no_citation_stay() -> None:
    text = "See [the terms](https://a.b) and [x] or a [ 1 alone"
    assert filtered([text], 3) == (text, set())


def test_ordinary_text_is_not_held_back() -> None:
    gate = CitationFilter(1)
    assert gate.feed("Hello") == "Hello"
    assert gate.feed(" world.") == " world."


def test_the_end_of_a_line_is_not_held_back() -> None:
    gate = CitationFilter(1)
    assert gate.feed("Hello.\n") == "Hello.\n"
    assert gate.feed("\n") == "\n"


def test_what_can_no_longer_become_a_citation_is_let_go_at_once() -> None:
    gate = CitationFilter(1)
    assert gate.feed("See [19") == "See"
    assert gate.feed("90") == " [1990"
    assert [gate.feed(piece) for piece in (" [", "1", " to")] == ["", "", " [1 to"]


text_with_marks = st.text(alphabet="ab [],;0123456789\n", max_size=60)


@given(text_with_marks, st.lists(st.integers(0, 60), max_size=8), st.integers(0, 12))
def test_where_the_stream_is_cut_makes_no_difference(text: str, cuts: list[int], sources: int) -> None:
    places = sorted({min(cut, len(text)) for cut in cuts})
    pieces = [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]
    assert filtered(pieces, sources) == filtered([text], sources)


@given(text_with_marks, st.integers(0, 12))
def test_no_citation_that_names_no_source_comes_through(text: str, sources: int) -> None:
    shown, cited = filtered([text], sources)
    for match in re.finditer(r"\[(\d{1,3})\]", shown):
        assert 1 <= int(match[1]) <= sources or match[0] not in text
    assert all(1 <= number <= sources for number in cited)


@given(st.lists(st.text(alphabet="ab [],;0123456789\n", min_size=1, max_size=4), max_size=80))
def test_only_a_blank_and_the_beginning_of_a_citation_are_ever_held_back(tokens: list[str]) -> None:
    gate = CitationFilter(3)
    for token in tokens:
        gate.feed(token)
        held = copy(gate).rest()
        assert re.fullmatch(r"[ \t]?(\[(\d{1,3}\s*[,;]\s*)*(\d{1,3}\s*)?)?", held)
        assert len(held) <= 130
