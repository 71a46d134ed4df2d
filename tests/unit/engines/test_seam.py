"""Every way in which a model may answer when it is shown the beginning of its answer."""

import re
from itertools import pairwise, permutations
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

import backend
from backend.engines.seam import Joined, Joint, Unclear, seam

WORDS = (
    *(
        "the",
        "library",
        "opens",
        "at",
        "nine",
        "and",
        "l'accès",
        "aujourd’hui",
        "est",
        "gratuit",
        ",",
        "(see",
    ),
    *("below)", "« fermé »", ";", "10 h 30", "six", "books", "[1]", "[2].", "No.", "The", "Victor", "Hugo"),
    *(
        "Émile",
        "-",
        "1898",
        "a",
        "I",
        "it's",
        ":",
        "**bold**",
        "naïve",
        "pour-cent",
        "café.",
        "Oui,",
        "œuvre",
    ),
)
GAPS = st.sampled_from([" "] * 12 + ["\n", "\n\n", "\n- ", "\u00a0", "  "])
CAPITALS = st.sampled_from(["The", "At", "Il", "Yes,", "«", "Victor", "**No**", "1.", "École", "I"])


@st.composite
def answers(draw):
    words = draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=30))
    said = draw(CAPITALS)
    for word in words:
        said += draw(GAPS) + word
    return said


@st.composite
def broken(draw):
    """A whole answer, and as much of it as the reader has seen."""
    answer = draw(answers())
    return answer, answer[: draw(st.integers(1, len(answer)))]


CUTS = st.lists(st.integers(0, 400), max_size=12)


def read(partial, stem, reply, cuts=()):
    """What is made of `reply`, cut anywhere: the verdict, and all the text that goes to the reader."""
    joint = Joint(partial, stem)
    edges = [0, *sorted({min(cut, len(reply)) for cut in cuts}), len(reply)]
    pieces = [reply[a:b] for a, b in pairwise(edges) if a < b]
    verdict = None
    for n, piece in enumerate(pieces):
        verdict = joint.feed(piece)
        if verdict is not None:
            rest = "".join(pieces[n + 1 :])
            break
    else:
        verdict, rest = joint.end(), ""
    return verdict, "" if isinstance(verdict, Unclear) else verdict.text + rest


def replies(answer, stem):
    rest = answer[len(stem) :]
    return {
        "continue": rest,
        "trim_space": rest.lstrip(),
        "repeat": stem + rest,
        "restart": answer,
        "a blank more": " " + rest if stem else answer,
    }


@pytest.mark.parametrize("behaviour", ["continue", "trim_space", "repeat", "restart", "a blank more"])
@given(broken(), CUTS)
@example(("The library opens at nine [1].", "The library opens a"), [])
@example(("The library opens at nine [1].", "The library opens at nine [1"), [])
@example(("The library opens at nine [1].", "The library opens at nine [1]."), [])
def test_the_same_answer_goes_on_seamlessly_wherever_it_broke(behaviour, case, cuts):
    answer, partial = case
    stem, _ = seam(partial)
    verdict, text = read(partial, stem, replies(answer, stem)[behaviour] if stem else answer, cuts)
    assert isinstance(verdict, Joined)
    assert verdict.continued
    assert partial + text == answer


@given(broken(), answers(), CUTS)
def test_another_answer_is_never_taken_for_a_continuation(case, other, cuts):
    _, partial = case
    stem, _ = seam(partial)
    assume(other.strip() != partial.strip())
    assume(not other.startswith(partial))
    verdict, text = read(partial, stem, other, cuts)
    assert isinstance(verdict, Unclear) or (verdict.continued, text) == (False, other)


@given(broken(), answers(), CUTS)
def test_an_answer_that_is_asked_for_anew_is_given_whole(case, other, cuts):
    _, partial = case
    verdict, text = read(partial, "", other, cuts)
    assert isinstance(verdict, Joined)
    assert (partial if verdict.continued else "") + text == other or other.strip() == partial.strip()


@given(broken(), st.lists(st.sampled_from(WORDS), min_size=1, max_size=8), st.booleans(), CUTS)
def test_a_continuation_in_other_words_loses_nothing_that_came_before(case, words, trimmed, cuts):
    _, partial = case
    stem, tail = seam(partial)
    reply = ("" if trimmed else " ") + " ".join(words)
    assume(stem)
    assume(not reply.lstrip().startswith(tail.strip()))
    assume(words[0] != partial.split()[0])  # a reply like that says the beginning again
    verdict, text = read(partial, stem, reply, cuts)
    if isinstance(verdict, Joined):
        assert not verdict.continued
        assert "".join(text.split()) == "".join((stem + reply).split())


@given(broken())
def test_a_continuation_is_held_back_no_longer_than_the_last_words(case):
    answer, partial = case
    stem, tail = seam(partial)
    assume(stem)
    joint = Joint(partial, stem)
    rest = answer[len(stem) :]
    held = next(n for n, letter in enumerate(rest, 1) if joint.feed(letter) is not None)
    assert held == len(tail)


@given(broken())
def test_a_seam_is_a_blank_in_mid_sentence_and_nothing_is_lost(case):
    _, partial = case
    stem, tail = seam(partial)
    assert stem + tail == partial
    assert stem == stem.rstrip()
    if stem:
        assert tail[0].isspace()
        assert not partial.lstrip().startswith(tail.lstrip())


@pytest.fixture(scope="module")
def paragraphs():
    """Of the documents that come with the product, French and English."""
    files = sorted((Path(backend.__file__).parent / "sample").rglob("*.md"))
    blocks = [block.strip() for file in files for block in re.split(r"\n\s*\n", file.read_text())]
    return [block for block in blocks if len(block) > 120 and block[0].isupper()]


def test_in_real_text_nearly_every_place_has_a_seam_and_its_last_words_are_few(paragraphs):
    seams = [seam(text[:cut]) for text in paragraphs for cut in range(1, len(text) + 1)]
    lengths = sorted(len(tail) for stem, tail in seams if stem)
    assert len(lengths) > 0.95 * len(seams)
    assert lengths[len(lengths) // 2] <= 6
    assert lengths[int(0.99 * len(lengths))] <= 40


def test_no_real_text_is_taken_for_the_continuation_of_another(paragraphs):
    for text, other in permutations(paragraphs, 2):
        partial = text[: len(text) * 2 // 3]
        verdict, said = read(partial, seam(partial)[0], other, range(0, 400, 5))
        assert isinstance(verdict, Unclear) or (verdict.continued, said) == (False, other)


SEAMS = {
    "in mid-word": ("The library ope", ("The library", " ope")),
    "after a word": ("The library opens", ("The library", " opens")),
    "after a blank": ("The library opens ", ("The library", " opens ")),
    "at the start of a sentence": ("It opens at nine. The", ("It opens at", " nine. The")),
    "after a citation": ("It opens at nine [1]. The", ("It opens at nine", " [1]. The")),
    "in a citation": ("It opens at nine [", ("It opens at nine", " [")),
    "before a name": ("It was written by Victor", ("It was written", " by Victor")),
    "in a list": ("There are:\n- a hall\n- a", ("There are:\n- a", " hall\n- a")),
    "at the start of a line": ("It opens\nnext to it\nat", ("It opens\nnext to", " it\nat")),
    "after an apostrophe": ("Il permet l'ac", ("Il permet", " l'ac")),
    "before a semicolon": ("Il est gratuit ;", ("Il est", " gratuit ;")),
    "in one word": ("Libr", ("", "Libr")),
    "in words as it began": ("the book of the", ("the book", " of the")),
}


@pytest.mark.parametrize("name", SEAMS)
def test_the_last_words_are_those_that_no_answer_begins_with(name):
    partial, expected = SEAMS[name]
    assert seam(partial) == expected


PARTIAL, STEM = "The library opens at nine [1]. It", "The library opens at nine"
OTHERWISE = {
    "another beginning": ("At nine the doors open.", None),
    "the same first word": ("The doors open.", None),
    "the same beginning, then other words": ("The library closes at six.", "The library closes at six."),
    "the stem said again, then other words": (f"{STEM} o'clock.", f"{STEM} o'clock."),
    "other words after a blank": (" o'clock.", f"{STEM} o'clock."),
    "other words, perhaps without their blank": ("o'clock.", None),
    "other punctuation": (", or ten.", f"{STEM}, or ten."),
    "an ellipsis": ("...opens at nine.", None),
    "a name, with its blank": (" Monday.", None),
    "some of the last words": ("[1]. Closing is at six.", f"{STEM} [1]. Closing is at six."),
    "nothing": ("", None),
    "blanks": (" \n", None),
    "some of the last words, and no more": (" [1]", None),
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_what_does_not_go_on_is_whole_or_unclear(name):
    reply, expected = OTHERWISE[name]
    assert seam(PARTIAL)[0] == STEM
    verdict, text = read(PARTIAL, STEM, reply)
    if expected is None:
        assert isinstance(verdict, Unclear)
    else:
        assert isinstance(verdict, Joined)
        assert (verdict.continued, text) == (False, expected)


def test_an_answer_taken_for_reasoning_goes_on_only_in_its_own_words():
    assert Joint(PARTIAL, STEM).think(" [1]. It closes") == Joined(True, " closes")
    assert Joint(PARTIAL, STEM).think(" so the user") == Unclear()
    assert Joint(PARTIAL, STEM).think("The library closes") == Unclear()


def test_reasoning_before_a_whole_answer_begins_it_anew():
    assert Joint(PARTIAL).think("Let me see") == Joined(False, "")
