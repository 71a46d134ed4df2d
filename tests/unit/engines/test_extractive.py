import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.errors import EmbedderUnavailable
from backend.core.types import Scored
from backend.engines.base import End, Endpoint, Text
from backend.engines.extractive import DOES_NOT_KNOW, MAX_CHARS, MAX_SENTENCES, ExtractiveEngine
from tests.support.asks import a_passage, a_request
from tests.support.calibrations import MINILM

HOURS = "The reading room opens at ten on weekdays. It holds forty seats. Coffee is not allowed inside."
LOANS = "A reader may borrow six books for three weeks. A loan can be renewed once by telephone."
CHAPTER = "Loans\n\nA reader may borrow six books for three weeks."


async def answer(question, *texts, language="en", score=0.2):
    """Answer and end; the passages' score says that retrieval was not sure of them."""
    engine = ExtractiveEngine(by_words=MINILM.by_words)
    request = a_request(question, *texts, language=language)
    request = replace(request, passages=tuple(Scored(one.passage, score) for one in request.passages))
    pieces = [piece async for piece in engine.generate(Endpoint(""), request)]
    return "".join(p.text for p in pieces if isinstance(p, Text)), pieces[-1]


async def test_the_sentence_that_answers_is_quoted_with_its_source():
    text, end = await answer("How many books may a reader borrow?", HOURS, LOANS)
    assert text.startswith("A reader may borrow six books for three weeks. [2]")
    assert end.finish_reason == "stop"


async def test_each_sentence_is_a_piece_of_its_own():
    engine = ExtractiveEngine(by_words=MINILM.by_words)
    request = a_request("When may a reader renew a loan of books?", LOANS)
    pieces = [piece async for piece in engine.generate(Endpoint(""), request)]
    assert all(re.search(r"[.!?] \[\d\]$", piece.text) for piece in pieces[:-1])
    assert isinstance(pieces[-1], End)


async def test_the_same_sentence_in_two_passages_is_quoted_once():
    text, _ = await answer("How many books may a reader borrow?", LOANS, CHAPTER)
    assert text.count("six books") == 1


async def test_what_retrieval_is_sure_of_is_quoted_without_a_second_judgement():
    _, unsure = await answer("Quel zèbre danse ?", HOURS, LOANS)
    _, sure = await answer("Quel zèbre danse ?", HOURS, LOANS, score=0.9)
    assert (unsure.finish_reason, sure.finish_reason) == ("no_answer", "stop")


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


FRENCH = "Le prêt dure trois semaines. On peut le prolonger une fois."


async def quoted(question, *passages, language="en", ranker=None):
    made = ExtractiveEngine(ranker, by_words=MINILM.by_words, by_meaning=MINILM.by_meaning)
    return await made.quotes(question, passages, language)


async def test_the_language_of_the_question_comes_first():
    passages = [
        a_passage("The museum of Lyon opens at nine.", n=1),
        a_passage("Le museum de Lyon ouvre à neuf heures.", n=2, language="fr"),
    ]
    quotes = await quoted("museum de Lyon", *passages, language="fr")
    assert {quote.n for quote in quotes} == {2}


async def test_another_language_is_better_than_nothing():
    quotes = await quoted("Quelle est la durée du prêt, en semaines ?", a_passage(FRENCH, language="fr"))
    assert quotes[0].text == "Le prêt dure trois semaines."


async def test_a_ranker_decides_among_sentences_with_the_same_words():
    passage = a_passage("The reader pays a fine of one euro. The reader pays a fee of two euros.")

    async def ranker(question, sentences):
        return np.array([1.0 if "fee" in one else -1.0 for one in sentences], np.float32)

    plain = await quoted("What does a reader pay?", passage)
    told = await quoted("What does a reader pay?", passage, ranker=ranker)
    assert "fine" in plain[0].text
    assert [quote.text for quote in told] == ["The reader pays a fee of two euros."]


async def test_without_its_ranker_it_goes_by_words():
    async def ranker(question, sentences):
        raise EmbedderUnavailable

    quotes = await quoted("How many books may a reader borrow?", a_passage(LOANS), ranker=ranker)
    assert quotes[0].text == "A reader may borrow six books for three weeks."


async def test_a_sentence_longer_than_an_answer_is_cut_between_words():
    text = "A reader may borrow " + "many books and " * 60 + "maps."
    (quote,) = await quoted("What may a reader borrow?", a_passage(text))
    assert len(quote.text) <= MAX_CHARS
    assert text.startswith(quote.text.removesuffix(" …"))


async def test_sentences_of_one_passage_keep_their_order():
    text = "A loan of books lasts three weeks. It may be renewed. A loan of books from Lyon costs two euros."
    quotes = await quoted("What does a loan of books from Lyon cost?", a_passage(text))
    assert [quote.place for quote in quotes] == sorted(quote.place for quote in quotes)
    assert quotes[-1].text.endswith("two euros.")
