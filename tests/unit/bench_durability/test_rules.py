"""What `bench_durability` decides from what readers wrote down."""

from __future__ import annotations

import pytest

from loadtests.durability.pauses import Window, pauses
from loadtests.durability.questions import Difference, Question, difference, number_of
from loadtests.durability.reader import LONGEST_RETRY_S, Outcome, Reading, backoff_s, is_after
from loadtests.durability.sse import Event, Parser
from loadtests.durability.truth import Turn, generations
from loadtests.durability.verdict import judged

ASKED = Question(3, 5)


def reading(text: str, *, at: list[float] | None = None, outcome: Outcome = Outcome.DONE) -> Reading:
    made = Reading(ASKED, 0, text=text, outcome=outcome, code="stop")
    made.arrivals, made.ended_s = at or [], max(at or [0.0])
    return made


def test_a_question_says_whose_it_is_and_what_is_to_be_said():
    assert number_of(ASKED.text) == 3
    assert ASKED.answer == "103000 103001 103002 103003 103004"
    assert number_of("When does it open?") is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (ASKED.answer, Difference(0, 0, 0)),
        ("103000 103001 103003 103004", Difference(1, 0, 0)),
        ("103000 103001 103001 103002 103003 103004", Difference(0, 1, 0)),
        ("103000 103002 103001 103003 103004", Difference(0, 1, 0)),
        (ASKED.answer + " 104000", Difference(0, 0, 1)),
        ("", Difference(5, 0, 0)),
    ],
)
def test_what_is_missing_doubled_or_anothers_is_told_apart(text: str, found: Difference):
    assert difference(ASKED, text) == found
    assert bool(found) == (text != ASKED.answer)


def test_a_pause_counts_if_any_of_it_is_in_the_window():
    window = Window("kill", 10.0, 20.0)
    across = reading("", at=[1.0, 9.0, 14.0, 15.0])
    before, later = reading("", at=[1.0, 2.0]), reading("", at=[11.0, 19.0])
    long_after = reading("", at=[9.9, 10.1, 19.9, 20.4])
    across.came_back = [12.0]
    seen = pauses([across, before, later, long_after], window)
    assert seen.longest_s == [pytest.approx(9.8), 5.0]
    assert (seen.worst[1].began_s, seen.worst[1].ended_s, seen.worst[1].came_back_s) == (-1.0, 4.0, [2.0])
    assert seen.came_back == 1


def test_who_never_saw_the_end_waits_for_ever():
    lost = reading("", at=[9.0], outcome=Outcome.OPEN)
    lost.ended_s = 0.0
    assert pauses([lost], Window("kill", 10.0, 20.0)).longest_s == [float("inf")]


def test_a_good_answer_has_one_turn_and_one_generation():
    asked = {"question": f"… {ASKED.text}", "path": "/api/chat"}
    said = generations([asked | {"tokens": 5, "begun": 0}])
    verdict = judged([reading(ASKED.answer)], {3: [Turn("done", ASKED.answer)]}, said)
    assert (verdict.answers, verdict.lost.total(), verdict.missing, verdict.doubled) == (1, 0, 0, 0)
    assert (verdict.not_one_turn, verdict.wrong_turns, verdict.more_than_one) == ({}, 0, {})


def test_what_is_wrong_with_an_answer_is_counted():
    asked = {"question": ASKED.text, "path": "/api/chat"}
    twice = [asked | {"tokens": 9, "begun": 0}] * 2 + [asked | {"tokens": 2, "begun": 9}]
    readings = [reading("103000"), reading("", outcome=Outcome.AWAY)]
    verdict = judged(readings, {3: [Turn("done", "103000"), Turn("done", "103000")]}, generations(twice))
    assert verdict.lost == {"away stop": 1}
    assert verdict.missing == 4
    assert verdict.not_one_turn == {3: 2}
    assert verdict.more_than_one == {3: [9, 9]}
    assert verdict.continued == 1


def test_who_had_said_too_little_to_be_joined_may_begin_anew():
    asked = {"question": ASKED.text, "path": "/api/chat", "begun": 0}
    said = generations([asked | {"tokens": 2}, asked | {"tokens": 9}])
    verdict = judged([reading(ASKED.answer)], {3: [Turn("done", ASKED.answer)]}, said)
    assert (verdict.more_than_one, verdict.began_anew) == ({}, 1)


def test_events_come_whole_in_any_cut():
    stream = (
        b'retry: 1000\nevent: started\ndata: {"run_id":"r"}\n\n: ping\n\n'
        b'id: 1-2\nevent: delta\ndata: {"text":"a"}\n\n'
    )
    parser = Parser()
    found = [event for n in range(len(stream)) for event in parser.push(stream[n : n + 1])]
    assert found == [Event("started", {"run_id": "r"}, ""), Event("delta", {"text": "a"}, "1-2")]
    assert parser.retry_s == 1.0


def test_a_reader_comes_back_as_the_page_does():
    assert is_after("2-0", "1-99")
    assert not is_after("1-9", "1-10")
    assert all(0.5 <= backoff_s(0, 1.0) <= 1.0 for _ in range(100))
    assert all(LONGEST_RETRY_S / 2 <= backoff_s(11, 1.0) <= LONGEST_RETRY_S for _ in range(100))
