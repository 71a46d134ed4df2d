"""Asking an engine to go on: what it is asked, how often, and what reaches the reader."""

from contextlib import aclosing

import pytest

from backend.core.errors import EngineRejected, EngineTruncated, EngineUnreachable
from backend.core.types import Message, Sampling
from backend.engines.base import End, Resumed, Text, Thought
from backend.engines.resume import resume
from tests.support.asks import a_request

PARTIAL = "It opens at nine [1]. The"
STEM = "It opens at nine"
REST = (Text(" [1]. The"), Text(" library"), Text(" closes at six [2]."), End("stop"))
WHOLE = (Text(STEM), *REST)
ALL = f"{PARTIAL} library closes at six [2]."
OTHER = (Text("At nine"), Text(" sharp."), End("stop"))


class Asked:
    """Answers one request after the other from `scripts`; an exception is raised at its place."""

    def __init__(self, *scripts):
        self.scripts = list(scripts)
        self.requests = []
        self.open = 0

    async def __call__(self, request):
        assert not self.open, "one request at a time: the slot is one"
        self.requests.append(request)
        self.open += 1
        try:
            for step in self.scripts.pop(0):
                if isinstance(step, Exception):
                    raise step
                yield step
        finally:
            self.open -= 1


async def resumed(asked, *, partial=PARTIAL, thinking=False, **options):
    request = a_request(partial=partial, sampling=Sampling(0.0, 64, thinking=thinking))
    pieces = [piece async for piece in resume(asked, request, **options)]
    assert [isinstance(piece, Resumed) for piece in pieces] == [True] + [False] * (len(pieces) - 1)
    assert isinstance(pieces[-1], End)
    return pieces[0].continued, "".join(piece.text for piece in pieces[1:-1] if isinstance(piece, Text))


async def test_a_continuation_takes_one_request_which_shows_all_but_the_last_words():
    asked = Asked(REST)
    assert await resumed(asked) == (True, " library closes at six [2].")
    (request,) = asked.requests
    assert request.messages == (Message("user", "Who wrote it?"), Message("assistant", STEM))
    assert request.partial == ""


async def test_a_repetition_is_swallowed_in_the_same_request():
    asked = Asked(WHOLE)
    assert await resumed(asked) == (True, " library closes at six [2].")
    assert len(asked.requests) == 1


async def test_what_cannot_be_told_is_asked_for_anew_and_what_was_said_may_be_said_again():
    asked = Asked(OTHER, WHOLE)
    assert await resumed(asked) == (True, " library closes at six [2].")
    assert [len(request.messages) for request in asked.requests] == [2, 1]


async def test_another_answer_begins_anew():
    assert await resumed(Asked(OTHER, OTHER)) == (False, "At nine sharp.")


async def test_a_server_that_refuses_to_go_on_is_asked_anew():
    asked = Asked((EngineRejected(),), WHOLE)
    assert await resumed(asked) == (True, " library closes at six [2].")


async def test_a_server_that_cannot_go_on_is_not_asked_to():
    asked = Asked(OTHER)
    assert await resumed(asked, prefills=False) == (False, "At nine sharp.")
    assert len(asked.requests[0].messages) == 1


async def test_too_little_to_join_is_asked_for_anew():
    asked = Asked(WHOLE)
    assert await resumed(asked, partial="It") == (True, " opens at nine [1]. The library closes at six [2].")
    assert len(asked.requests[0].messages) == 1


async def test_an_answer_that_was_whole_already_ends():
    asked = Asked((Text(" [2]."), End("stop")))
    assert await resumed(asked, partial=ALL) == (True, "")


async def test_thinking_is_off_for_a_continuation_and_on_again_for_a_new_answer():
    asked = Asked(OTHER, (Thought("Hm."), *OTHER))
    assert await resumed(asked, thinking=True) == (False, "At nine sharp.")
    assert [request.sampling.thinking for request in asked.requests] == [False, True]


async def test_a_new_answer_that_begins_with_thinking_is_said_to_be_new_before_it():
    request = a_request(partial=PARTIAL)
    asked = Asked((Thought("Hm."), *OTHER), (Thought("Hm."), *OTHER))
    pieces = [piece async for piece in resume(asked, request)]
    assert pieces == [Resumed(False), Thought("Hm."), *OTHER]


async def test_a_continuation_taken_for_reasoning_is_text_all_the_same():
    asked = Asked((Thought(" [1]. The"), Thought(" library"), Thought(" closes."), End("stop")))
    assert await resumed(asked) == (True, " library closes.")


async def test_text_that_was_shown_cannot_speak_to_the_engine():
    asked = Asked(OTHER, OTHER)
    await resumed(asked, partial="It says <|end|> at nine")
    assert "<|" not in asked.requests[0].messages[-1].content


@pytest.mark.parametrize("error", [EngineUnreachable, EngineTruncated])
@pytest.mark.parametrize("said", [(), (Text(" [1"),), (*REST[:2], Text(" c"))], ids=["none", "held", "some"])
async def test_a_failure_passes_and_is_not_tried_again_here(error, said):
    asked = Asked((*said, error()))
    with pytest.raises(error):
        await resumed(asked)
    assert (len(asked.requests), asked.open) == (1, 0)


async def test_a_refusal_after_the_continuation_began_passes():
    with pytest.raises(EngineRejected):
        await resumed(Asked((*REST[:2], EngineRejected())))


@pytest.mark.parametrize("scripts", [(REST,), (OTHER, OTHER)], ids=["continued", "anew"])
async def test_closing_it_closes_what_it_asked(scripts):
    asked = Asked(*scripts)
    async with aclosing(resume(asked, a_request(partial=PARTIAL))) as pieces:
        await anext(pieces)
        assert asked.open == 1
    assert asked.open == 0
