import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.errors import EmbedderUnavailable
from backend.core.types import Scored
from backend.engines.base import End, Endpoint, Text
from backend.engines.extractive import (
    DOES_NOT_KNOW,
    MAX_BLOCK_CHARS,
    MAX_CHARS,
    ExtractiveEngine,
)
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


@given(st.lists(st.text(alphabet="abcdeéA .!?\n«»-:[]1|={", max_size=600), max_size=5), st.text(max_size=60))
async def test_an_answer_is_short_and_cites_only_what_was_given(texts, question):
    text, end = await answer(question, *texts)
    marks = [int(n) for n in re.findall(r"\s\[(\d+)\](?=\s|$)", text)]
    assert len(text) <= MAX_BLOCK_CHARS
    if end.finish_reason == "stop":
        assert len(marks) >= 1
        assert text.endswith("]")
    else:
        assert text == DOES_NOT_KNOW["en"]


FRENCH = "Le prêt dure trois semaines. On peut le prolonger une fois."


async def quoted(question, *passages, language="en", ranker=None):
    made = ExtractiveEngine(ranker, by_words=MINILM.by_words, by_meaning=MINILM.by_meaning)
    return await made.quotes(question, [Scored(passage, 0.2) for passage in passages], language)


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


HOURS_TABLE = "Day | Opens | Closes\nFriday | 10:00 | 18:00\nSaturday | 10:00 | 16:00\nSunday | |"
STEPS = "To renew a passport:\n\n1. Fill in form 12.\n2. Pay the fee.\n3. Send both to the town hall."
PAPERS = (
    "Bring to the desk:\n- your old card;\n- two photographs of 35 mm;\n- a bill that shows your address."
)


async def test_each_quote_is_of_a_passage_that_bears_on_the_question_by_itself():
    engine = ExtractiveEngine(by_words=MINILM.by_words)
    request = a_request("How many books may a reader borrow?", LOANS, HOURS, CHAPTER)
    scores = (0.99, 0.0, 0.6)
    scored = tuple(replace(one, score=score) for one, score in zip(request.passages, scores, strict=True))
    for passages in (scored, scored[::-1]):
        quotes = await engine.quotes(request.question, passages, "en")
        assert quotes
        assert all(passages[quote.n - 1].score >= 0.5 for quote in quotes)


async def test_steps_are_quoted_whole():
    text, _ = await answer("How do I renew a passport?", HOURS, STEPS, score=0.9)
    assert (
        "To renew a passport:\n1. Fill in form 12.\n2. Pay the fee.\n3. Send both to the town hall. [2]"
        in text
    )


async def test_a_row_is_quoted_below_its_header():
    text, _ = await answer("What are the opening hours on Saturday?", LOANS, HOURS_TABLE, score=0.9)
    table = "| Day | Opens | Closes |\n|---|---|---|\n| Saturday | 10:00 | 16:00 |\n\n[2]"
    assert table in text
    assert "Friday" not in text


async def test_a_table_is_quoted_whole_when_no_row_says_more_than_its_header():
    text, _ = await answer("When does it open on each day?", HOURS_TABLE, score=0.9)
    assert all(day in text for day in ("Friday", "Saturday", "Sunday"))


async def test_of_a_list_the_items_are_quoted_that_are_asked_for():
    some, _ = await answer("What size are the photographs?", PAPERS, score=0.9)
    whole, _ = await answer("What should I bring to the desk?", PAPERS, score=0.9)
    assert some == "Bring to the desk:\n- two photographs of 35 mm; [1]"
    assert whole.count("\n- ") == 3


async def test_code_is_quoted_in_a_fence():
    text, _ = await answer(
        "How do I start the server?", "Start the server:\n\n$ libri serve --port 80", score=0.9
    )
    assert text == "Start the server:\n```\n$ libri serve --port 80\n```\n\n[1]"


@pytest.mark.parametrize(
    "question", ["WiFi password?", "wi-fi password", "What is the password of the Wi-Fi?"]
)
async def test_a_short_fact_is_found_however_its_word_is_joined(question):
    text, _ = await answer(question, f"Wi-Fi: libri-guest / 12345\nPrinter: room 2\n\n{HOURS}", score=0.9)
    assert text.startswith("Wi-Fi: libri-guest / 12345 [1]")


async def test_a_block_stands_on_lines_of_its_own():
    text, _ = await answer(
        "How do I renew a passport?", f"A passport is easy to renew.\n\n{STEPS}", score=0.9
    )
    assert "\n\nTo renew a passport:" in text


async def test_a_long_list_is_cut_between_its_items():
    items = "\n".join(f"- a book about the history of the town number {n}" for n in range(100))
    text, _ = await answer("What is in the catalogue?", f"The catalogue holds:\n{items}", score=0.9)
    assert MAX_CHARS < len(text) <= MAX_BLOCK_CHARS
    assert re.search(r"number \d+ \[1\]$", text)
