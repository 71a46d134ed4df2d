import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from backend.chat.citations import CitationFilter
from tests.support.citation_cases import CITED, NOT_CITED


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


@pytest.mark.parametrize("text", NOT_CITED)
def test_what_only_looks_like_a_citation_is_neither_changed_nor_counted(text: str) -> None:
    assert filtered([text], 3) == (text, set())
    assert filtered(list(text), 3) == (text, set())


@pytest.mark.parametrize(("text", "shown", "cited"), CITED)
def test_what_is_a_citation_is_counted(text: str, shown: str, cited: set[int]) -> None:
    assert filtered([text], 3) == (shown, cited)
    assert filtered(list(text), 3) == (shown, cited)


any_marks = st.text(alphabet="ab [],;0123456789\n`~\\ =.()x_$-#>:", max_size=60)
marks_and_words = st.lists(
    st.sampled_from(
        [
            "[1]",
            " [1]",
            "[2, 9]",
            "[0]",
            "[7]",
            "[1][2]",
            "word",
            "a",
            " = ",
            "`",
            "``",
            "```",
            "~~~",
            "\n",
            "\n\n",
            "    ",
            "- ",
            "> ",
            "(",
            ")",
            "(http://x)",
            ".x",
            ".",
            "\\",
            "$",
            "1. ",
            "my_list",
            "]",
            "=",
            ": ",
            "\t",
        ]
    ),
    max_size=24,
).map("".join)
texts = any_marks | marks_and_words


@given(texts, st.lists(st.integers(0, 120), max_size=8), st.integers(0, 12))
def test_where_the_stream_is_cut_makes_no_difference(text: str, cuts: list[int], sources: int) -> None:
    places = sorted({min(cut, len(text)) for cut in cuts})
    pieces = [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]
    assert filtered(pieces, sources) == filtered([text], sources)


MARK = r"[ \t]?\[\d{1,3}(?:\s{0,2}[,;]\s{0,2}\d{1,3})*\]"


@given(texts, st.integers(0, 12))
def test_nothing_but_marks_is_ever_changed(text: str, sources: int) -> None:
    shown, cited = filtered([text], sources)
    assert re.sub(MARK, "", shown) == re.sub(MARK, "", text)
    assert all(1 <= number <= sources for number in cited)


@given(texts, st.integers(0, 12))
def test_what_stands_directly_behind_a_word_is_never_changed(text: str, sources: int) -> None:
    text = re.sub(MARK, lambda mark: "w" + mark[0].lstrip(), text)
    assert filtered([text], sources)[0] == text


@given(st.text(alphabet="ab [],;0123456789\n", max_size=60), st.integers(0, 12))
def test_no_citation_that_names_no_source_comes_through_behind_a_blank(text: str, sources: int) -> None:
    text = re.sub(r"(?<!\s)\[", " [", text)
    shown, _ = filtered([text], sources)
    for match in re.finditer(r"(?<=\s)\[(\d{1,3})\](?![\]\[])", shown):
        assert 1 <= int(match[1]) <= sources or match[0] not in text


@given(st.lists(texts, max_size=40))
def test_only_a_blank_and_what_may_be_a_citation_are_ever_held_back(tokens: list[str]) -> None:
    gate = CitationFilter(3)
    for token in tokens:
        gate.feed(token)
        assert re.match(rf"[ \t]?(?:\Z|(?:{MARK})*(?:\[[\d\s,;]*\Z|.{{0,12}}\Z))", gate._held, re.DOTALL)
        assert len(gate._held) <= 16 * 130


def code_in(text: str) -> list[str]:
    """What a Markdown parser finds to be code, in order."""
    tokens = MarkdownIt("commonmark").parse(text)
    every = [one for token in tokens for one in (token, *(token.children or ()))]
    return [one.content for one in every if one.type in ("code_inline", "fence", "code_block")]


BLOCKS = st.sampled_from(
    [
        "Text [1] and `a[10]` or ``b ` [7]`` here.",
        "```\nitems[0] [7]\n```",
        "~~~py\n x = [7]\n~~~",
        "    [7] [0]\n\n    [8]",
        "- one [1]\n- two `[7]`",
        "- one\n\n  ```\n  [7]\n  ```",
        "> quoted `[7]` [1]",
        "> ```\n> [7]\n> ```",
        "# `[7]` title",
        "1. a\n\n   b `[7]`\n2. c",
        "a ` stray [1]",
        "``` inline [7] ``` `[8]`",
        "\\`[1]\\` `[7]`",
        "````\n```\n[7]\n```\n````",
        "~~~\n```\n[7]\n~~~",
        "| a `[7]` | [1] |",
        "Line `a\n[7]` b",
    ]
)


@given(st.lists(BLOCKS, max_size=5).map("\n\n".join))
def test_what_a_parser_takes_for_code_is_never_changed(text: str) -> None:
    assert code_in(filtered([text], 3)[0]) == code_in(text)


@given(st.lists(BLOCKS, max_size=4).map("\n\n".join), st.data())
def test_another_filter_goes_on_where_one_was_left_without_a_gap_or_a_repetition(text: str, data) -> None:
    text = text.replace("[0]", "[9]")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    first, other = CitationFilter(10), CitationFilter(10)
    shown = "".join(first.feed(text[one:two]) for one, two in pairwise([0, *cuts]))
    assert text.startswith(shown), "every mark of these names a source, or is code"
    other.passed(shown)
    assert shown + other.feed(text[len(shown) :]) + other.rest() == text
    assert other.cited == filtered([text], 10)[1]


def test_a_citation_behind_a_stray_backtick_counts_once_its_paragraph_ends() -> None:
    assert filtered(["It`s nine [1].\n\nAnd six [2]."], 2)[1] == {1, 2}
    assert filtered(["It`s nine [1]."], 2)[1] == {1}
    assert filtered(["It`s nine [1]` so."], 2)[1] == set()
    assert filtered(["`a[1]` and `b [2]"], 2)[1] == {2}
