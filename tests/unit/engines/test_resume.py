"""Asking an engine to go on: what it is asked, how often, and what reaches the reader."""

from contextlib import aclosing

import pytest

from backend.core.errors import EngineRejected, EngineTruncated, EngineUnreachable
from backend.core.types import Message, Sampling, Usage
from backend.engines.base import End, Misplaced, Resumed, Spent, Text, Thought
from backend.engines.resume import resume
from tests.support.asks import a_request

PARTIAL = "It opens at nine [1]. The"
STEM = "It opens"
REST = (Text(" at nine [1]. The"), Text(" library"), Text(" closes at six [2]."), End("stop"))
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
    asked = Asked((Text(" closes at six [2]."), End("stop")))
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
    asked = Asked((Thought(" at nine [1]. The"), Thought(" library"), Thought(" closes."), End("stop")))
    assert await resumed(asked) == (True, " library closes.")


async def test_reasoning_that_had_been_shown_as_the_answer_goes_on_as_reasoning():
    """The first server did not know the mark that closes it, this one does: the answer comes after it."""
    reply = (Thought(" at nine [1]. The"), Thought(" user"), Text("Three weeks [1]."), End("stop"))
    pieces = [piece async for piece in resume(Asked(reply), a_request(partial=PARTIAL))]
    assert pieces == [Resumed(True), Text(" user"), Misplaced(), Text("Three weeks [1]."), End("stop")]


@pytest.mark.parametrize("prefills", [True, False])
async def test_what_was_reasoning_before_it_joined_is_not_what_goes_on(prefills):
    asked = Asked((Text("It opens"), Misplaced(), *WHOLE))
    assert await resumed(asked, prefills=prefills) == (True, " library closes at six [2].")


async def test_reasoning_that_says_nothing_begins_no_new_answer():
    assert await resumed(Asked((Thought("\n\n"), *WHOLE)), prefills=False) == (
        True,
        " library closes at six [2].",
    )


async def test_what_a_user_might_say_is_asked_for_anew():
    for said in (" and on Sundays?", "Sure, at nine.", ", or ten?", "It opens when?", "Who wrote it?", ""):
        asked = Asked((Text(said), End("stop")), WHOLE)
        assert await resumed(asked) == (True, " library closes at six [2]."), said
        assert len(asked.requests) == 2


def spent(tokens, **more):
    return Spent(marks=((len(STEM), tokens), (len(PARTIAL), tokens + 6)), **more)


async def bounds(asked, max_tokens, **changes):
    """What each request was bound to."""
    request = a_request(partial=PARTIAL, sampling=Sampling(0.0, max_tokens), **changes)
    pieces = [piece async for piece in resume(asked, request)]
    return [one.sampling.max_tokens for one in asked.requests], pieces


async def test_the_bound_holds_the_last_words_and_thinking_counts():
    assert (await bounds(Asked(REST), 64, spent=spent(2)))[0] == [62]
    assert (await bounds(Asked(REST), 64, spent=spent(2, thinking=20)))[0] == [42]


async def test_a_retelling_has_the_whole_of_the_bound():
    assert (await bounds(Asked(OTHER, WHOLE), 64, spent=spent(40)))[0] == [24, 64]


async def test_a_repetition_for_which_there_is_no_room_is_not_waited_for():
    asked = Asked((Text("It"), AssertionError("it should have been closed")), WHOLE)
    assert (await bounds(asked, 64, spent=spent(40)))[0] == [24, 64]


async def test_a_repetition_that_comes_to_its_bound_is_asked_for_with_the_whole():
    cut = (*WHOLE[:3], End("length", Usage(10, 62)))
    asked, pieces = await bounds(Asked(cut, WHOLE), 64, spent=spent(2))
    assert asked == [62, 64]
    assert [piece for piece in pieces if isinstance(piece, Text)] == [
        Text(" library"),
        Text(" closes at six [2]."),
    ]
    assert pieces[-1] == End("stop")


async def test_an_estimate_that_was_too_high_cuts_nothing_short():
    """What came before in 60 pieces took 20 tokens: its server sent parts of tokens, as this one does."""
    parts = (*(Text(part) for part in " at nine [1]. The lib"), End("length", Usage(10, 4)))
    more = (Text(" nine [1]. The library"), Text(" closes at six [2]."), End("stop"))
    asked, pieces = await bounds(Asked(parts, more), 64, spent=spent(60))
    assert asked[0] == 4
    assert 40 <= asked[1] <= 60
    assert PARTIAL + "".join(piece.text for piece in pieces if isinstance(piece, Text)) == ALL


async def test_a_bound_that_was_reached_is_the_end():
    reply = (
        *(Text(word) for word in (" at", " nine", " [1].", " The", " library")),
        End("length", Usage(10, 5)),
    )
    asked, pieces = await bounds(Asked(reply), 7, spent=spent(2))
    assert asked == [5]
    assert pieces[-1].finish_reason == "length"
    assert pieces[0].spent == 2


async def test_a_context_that_is_full_is_the_end():
    reply = (*REST[:2], End("length", Usage(10, 9)))
    assert (await bounds(Asked(reply), 64, spent=spent(2)))[0] == [62]


async def test_text_that_was_shown_cannot_speak_to_the_engine():
    asked = Asked(OTHER, OTHER)
    await resumed(asked, partial="It says <|end|> at nine, and at no other hour")
    assert "<|" not in asked.requests[0].messages[-1].content


@pytest.mark.parametrize("error", [EngineUnreachable, EngineTruncated])
@pytest.mark.parametrize(
    "said", [(), (Text(" at nine [1"),), (*REST[:2], Text(" c"))], ids=["none", "held", "some"]
)
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
