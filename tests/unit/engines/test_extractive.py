import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.engines.base import End, Endpoint, Text
from backend.engines.extractive import DOES_NOT_KNOW, MAX_CHARS, MAX_SENTENCES, ExtractiveEngine
from tests.support.asks import a_request

HOURS = "The reading room opens at ten on weekdays. It holds forty seats. Coffee is not allowed inside."
LOANS = "A reader may borrow six books for three weeks. A loan can be renewed once by telephone."
CHAPTER = "Loans\n\nA reader may borrow six books for three weeks."


async def answer(question, *texts, language="en"):
    engine = ExtractiveEngine()
    request = a_request(question, *texts, language=language)
    pieces = [piece async for piece in engine.generate(Endpoint(""), request)]
    return "".join(p.text for p in pieces if isinstance(p, Text)), pieces[-1]


async def test_the_sentence_that_answers_is_quoted_with_its_source():
    text, end = await answer("How many books may a reader borrow?", HOURS, LOANS)
    assert text.startswith("A reader may borrow six books for three weeks. [2]")
    assert end.finish_reason == "stop"


async def test_each_sentence_is_a_piece_of_its_own():
    engine = ExtractiveEngine()
    request = a_request("When may a reader renew a loan of books?", LOANS)
    pieces = [piece async for piece in engine.generate(Endpoint(""), request)]
    assert all(re.search(r"[.!?] \[\d\]$", piece.text) for piece in pieces[:-1])
    assert isinstance(pieces[-1], End)


async def test_the_same_sentence_in_two_passages_is_quoted_once():
    text, _ = await answer("How many books may a reader borrow?", LOANS, CHAPTER)
    assert text.count("six books") == 1


@pytest.mark.parametrize("language", ["fr", "en"])
async def test_it_does_not_know_what_no_passage_tells(language):
    text, end = await answer("Quel zèbre danse ?", HOURS, LOANS, language=language)
    assert (text, end.finish_reason) == (DOES_NOT_KNOW[language], "no_answer")


async def test_without_passages_it_does_not_know():
    _, end = await answer("Anything?")
    assert end.finish_reason == "no_answer"


@given(st.lists(st.text(alphabet="abcdeéA .!?\n«»-:[]1", max_size=600), max_size=5), st.text(max_size=60))
async def test_an_answer_is_short_and_cites_only_what_was_given(texts, question):
    text, end = await answer(question, *texts)
    marks = [int(n) for n in re.findall(r" \[(\d+)\](?= |$)", text)]
    assert len(text) <= MAX_CHARS
    if end.finish_reason == "stop":
        assert 1 <= len(marks) <= MAX_SENTENCES
        assert text.endswith("]")
    else:
        assert text == DOES_NOT_KNOW["en"]
