"""Every way in which a model may answer when it is shown the beginning of its answer."""

import re
import unicodedata
from itertools import pairwise, permutations
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

import backend
from backend.engines.seam import Joined, Joint, Unclear, seam
from tests.support.texts import TEXTS

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
    answer = draw(st.one_of(answers(), st.sampled_from(sorted(TEXTS.values()))))
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
    assume(not other.startswith(partial.lstrip()))
    verdict, text = read(partial, stem, other, cuts)
    assert isinstance(verdict, Unclear) or (verdict.continued, text) == (False, other)


@given(broken(), answers(), CUTS)
def test_an_answer_that_is_asked_for_anew_is_given_whole(case, other, cuts):
    _, partial = case
    verdict, text = read(partial, "", other, cuts)
    assert isinstance(verdict, Joined)
    whole = (partial if verdict.continued else "") + text
    assert whole.strip() == other.strip()


@given(
    broken(), st.lists(st.sampled_from(WORDS), min_size=1, max_size=8), st.sampled_from(["", " ", "\n"]), CUTS
)
def test_a_continuation_in_other_words_is_never_glued(case, words, blank, cuts):
    _, partial = case
    stem, tail = seam(partial)
    reply = blank + " ".join(words)
    assume(stem)
    assume(not reply.lstrip().startswith((tail.strip(), partial.strip())))
    assert isinstance(read(partial, stem, reply, cuts)[0], Unclear)


@given(broken())
def test_a_continuation_is_held_back_no_longer_than_the_last_words(case):
    answer, partial = case
    stem, tail = seam(partial)
    assume(stem)
    joint = Joint(partial, stem)
    rest = answer[len(stem) :]
    held = next(n for n, letter in enumerate(rest, 1) if joint.feed(letter) is not None)
    assert held == len(tail)


@given(broken(), st.sampled_from(["", "when does it open?", "The library opens"]))
def test_nothing_is_lost_at_a_seam_and_nobody_begins_with_the_last_words(case, question):
    _, partial = case
    stem, tail = seam(partial, (question,))
    assert stem + tail == partial
    assert stem == stem.rstrip()
    if stem:
        assert not partial.lstrip().startswith(tail.lstrip())
        assert not question.startswith(tail.lstrip())
        assert len(re.sub(r"\s", "", tail)) >= 5
        assert not unicodedata.combining(tail[0])
        assert tail[0] not in "\u200d\ufe0f\u0e33🏽"
        assert stem[-1] not in "\u200d\u0e40"


@pytest.mark.parametrize("kind", sorted(set(TEXTS) - {"short", "shorter", "the same again", "no blank"}))
def test_a_text_of_any_kind_has_seams(kind):
    text = TEXTS[kind]
    assert seam(text)[0]
    tails = [len(tail) for n in range(len(text)) for stem, tail in [seam(text[: n + 1])] if stem]
    assert max(tails) <= 60


def test_what_repeats_itself_from_its_start_has_none():
    assert seam("ha " * 60) == ("", "ha " * 60)


def test_last_words_are_not_sought_far_away():
    partial = "See the file at " + "a/b2=c;" * 200
    assert len(seam(partial)[1]) < 100


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
    assert lengths[len(lengths) // 2] <= 20
    assert lengths[int(0.99 * len(lengths))] <= 50


def test_no_real_text_is_taken_for_the_continuation_of_another(paragraphs):
    others = [text for text in TEXTS.values() if len(text) > 20]
    for text, other in permutations([*paragraphs, *others], 2):
        partial = text[: len(text) * 2 // 3]
        verdict, said = read(partial, seam(partial)[0], other, range(0, 400, 5))
        assert isinstance(verdict, Unclear) or (verdict.continued, said) == (False, other)


def test_what_people_say_in_their_turn_is_not_taken_for_a_continuation(paragraphs):
    """Every sentence of other texts, in small letters too: as people write."""
    starts = [text[at.end() :] for text in paragraphs[::3] for at in re.finditer(r"^|[.!?;:] ", text)]
    said = {*starts, *(start.lower() for start in starts)}
    for text in paragraphs[1::3]:
        for cut in range(20, len(text), 7):
            stem, tail = seam(text[:cut])
            alike = [one for one in said if one.startswith(tail.lstrip())]
            assert not stem or not alike, (tail, alike)


SEAMS = {
    "in mid-word": ("The library opens at six, and ope", ("The library opens", " at six, and ope")),
    "after a word": ("The library opens at six, and closes", ("The library opens at", " six, and closes")),
    "after a blank": ("The library opens at six, and closes ", ("The library opens at", " six, and closes ")),
    "at the start of a sentence": ("It opens at nine. The", ("It", " opens at nine. The")),
    "after a citation": ("It opens at nine [1]. The", ("It opens", " at nine [1]. The")),
    "in a citation": ("It opens at nine [", ("It", " opens at nine [")),
    "before a name": ("It was written by Victor Hugo", ("It was written", " by Victor Hugo")),
    "in a list": (
        "There are, in the house:\n- a hall\n- a large room\n- a ga",
        ("There are, in the house:\n- a hall\n- a", " large room\n- a ga"),
    ),
    "after an apostrophe": ("Il permet à tous l'ac", ("Il", " permet à tous l'ac")),
    "before a semicolon": ("Il est gratuit et ouvert ;", ("Il est", " gratuit et ouvert ;")),
    "in one word": ("Libr", ("", "Libr")),
    "in two words": ("The libra", ("The", " libra")),
    "in two words, hardly": ("The r", ("", "The r")),
    "in words as it began": ("the book of the book of the", ("the book", " of the book of the")),
    "in nouns": (
        "Öffnungszeiten: Montag Dienstag Mittwoch Neun Uhr",
        ("Öffnungszeiten: Montag", " Dienstag Mittwoch Neun Uhr"),
    ),
    "in capitals": ("THE LIBRARY OPENS AT NINE", ("THE", " LIBRARY OPENS AT NINE")),
    "in figures": ("12, 15, 18, 21, 24, 27, 30, 33, 36", ("12, 15, 18,", " 21, 24, 27, 30, 33, 36")),
    "without blanks": ("图书馆早上九点开门[1]，晚上六点关门", ("图书馆早上九点开门[1]，", "晚上六点关门")),
    "in a table": (
        "| Day | Opens |\n|---|---|\n| Mon | 9:00 | 18:00",
        ("| Day | Opens", " |\n|---|---|\n| Mon | 9:00 | 18:00"),
    ),
    "in code without blanks": (
        "a=1;b=2;c=fgh(i,j);while(k<l){m.n(o,p)}",
        ("a=1;b=2;c", "=fgh(i,j);while(k<l){m.n(o,p)}"),
    ),
}


@pytest.mark.parametrize("name", SEAMS)
def test_the_last_words_are_those_that_no_answer_begins_with(name):
    partial, expected = SEAMS[name]
    assert seam(partial) == expected


PARTIAL, STEM = "The library opens at nine [1]. It", "The library opens"
UNCLEAR = {
    "another beginning": "At nine the doors open.",
    "the same first word": "The doors open.",
    "the same beginning, then other words": "The library closes at six.",
    "the stem said again, then other words": f"{STEM} at nine o'clock.",
    "other words after a blank": " o'clock.",
    "other punctuation": ", or ten.",
    "an ellipsis": "...opens at nine.",
    "some of the last words": " at nine [1]. Closing is at six.",
    "some of the last words, and no more": " at nine",
    "the question": "when does it open?",
    "thanks": " thanks",
    "nothing": "",
    "blanks": " \n",
}


@pytest.mark.parametrize("name", UNCLEAR)
def test_what_does_not_say_the_last_words_is_not_believed(name):
    assert seam(PARTIAL)[0] == STEM
    assert read(PARTIAL, STEM, UNCLEAR[name]) == (Unclear(), "")


def test_a_repetition_is_not_waited_for_where_there_is_no_room():
    joint = Joint(PARTIAL, STEM, may_repeat=False)
    assert joint.feed("The") == Unclear()
    assert Joint(PARTIAL, STEM).feed("The") is None


def test_a_stem_may_be_repeated_as_the_model_was_shown_it():
    partial = "Write <div> and close it with"
    stem, tail = seam(partial)
    joint = Joint(partial, stem, shown="Write < div>")
    assert joint.feed("Write < div>" + tail + " care") == Joined(True, " care", retold=True)


def test_a_retelling_that_was_cut_before_what_was_shown_keeps_what_was_shown():
    joint = Joint(PARTIAL)
    assert joint.feed("The library") is None
    assert joint.end(cut=True) == Joined(True, "", retold=True)
    assert joint.end() == Joined(False, "The library")


def test_reasoning_that_was_taken_for_text_is_not_what_goes_on():
    joint = Joint(PARTIAL, STEM)
    assert joint.feed("The library") is None
    joint.misplaced()
    assert joint.feed(PARTIAL + " closes") == Joined(True, " closes", retold=True)


def test_an_answer_taken_for_reasoning_goes_on_only_in_its_own_words():
    assert Joint(PARTIAL, STEM).think(" at nine [1]. It closes") == Joined(True, " closes")
    assert Joint(PARTIAL, STEM).think(" so the user") == Unclear()
    assert Joint(PARTIAL, STEM).think("The library closes") == Unclear()


def test_reasoning_before_a_whole_answer_begins_it_anew():
    assert Joint(PARTIAL).think("Let me see") == Joined(False, "")
