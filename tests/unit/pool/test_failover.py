"""An answer whose servers die is what one would have said: any text, cut, template and bound."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from backend.core.types import Sampling
from backend.engines.base import End, Misplaced, Text
from backend.pool.base import Restarted
from tests.support.asks import a_request, an_ask, an_instance
from tests.support.pool import a_pool
from tests.support.prefilled import BEHAVIOURS, InTurn, Server, tokens
from tests.support.texts import TEXTS

QUESTION = "when does the library open, and what does it cost?"
REPLIES = (
    "Sure, it opens at nine.", QUESTION, f" {QUESTION}", " and what about Sundays?", "and then?", ", or ten?",
    "", " ", "Thanks!", "[INST] When? [/INST]", "The library is great", " the library", ". Is that so?",
    "...", "nine", "9", "谢谢", "ok",
    "Thank you, that helps a lot. Now tell me about the opening hours on Sundays.",
)  # fmt: skip


def shown(events) -> str:
    """The answer as a reader sees it in the end."""
    text = ""
    for event in events:
        if isinstance(event, Restarted | Misplaced):
            text = ""
        elif isinstance(event, Text):
            text += event.text
    return text


async def failed_over(bound, *servers, thinking=False):
    """The events of one answer for which `servers` are asked in this order."""
    engine = InTurn(servers)
    request = a_request(QUESTION, sampling=Sampling(0.0, bound, thinking))
    async with a_pool(*(an_instance(engine, f"{n}") for n in range(len(servers)))) as it:
        return [event async for event in it.pool.generate(an_ask(), request)]


ANY = "".join(TEXTS.values()) + " \n\t "
ANSWERS = st.one_of(
    st.sampled_from(sorted(TEXTS)).map(TEXTS.get),
    st.lists(
        st.sampled_from(sorted({word for text in TEXTS.values() for word in tokens(text, 0)})), max_size=40
    ).map("".join),
    st.text(alphabet=st.sampled_from(ANY), min_size=1, max_size=200),
).filter(str.strip)
SIZES = st.sampled_from([0, 0, 1, 2, 3, 5])


@st.composite
def relays(draw, answers=ANSWERS):
    """An answer, its bound, and servers of which all but the last die in the middle of it."""
    answer, size, behaviour = draw(answers), draw(SIZES), draw(st.sampled_from(BEHAVIOURS))
    many = len(tokens(answer, size))
    bound = draw(
        st.one_of(st.integers(1, many + 20), st.just(many), st.just(many + 1), st.just(2 * many + 9))
    )
    deaths = draw(st.lists(st.integers(0, many), min_size=1, max_size=2))
    instead = draw(st.one_of(st.sampled_from(REPLIES), answers))
    common = {"answer": answer, "behaviour": behaviour, "size": size, "instead": instead}
    servers = tuple(Server(dies_after=death, **common) for death in (*deaths, None))
    return bound, servers


def undisturbed(bound, server):
    said = tokens(server.answer, server.size)
    return "".join(said[:bound]), "stop" if len(said) < bound else "length"


async def check(bound, servers, *, slack=2):
    """Raises unless the reader's text is what was to be said; a blank or a token cut in two are borne."""
    events = await failed_over(bound, *servers)
    text, (expected, reason) = shown(events), undisturbed(bound, servers[0])
    assert text.startswith(expected), "cut short"
    assert servers[0].answer.startswith(text), "something else"
    assert not any(isinstance(event, Restarted) for event in events), "what was shown stays"
    said = len(tokens(text, servers[0].size))
    assert said <= bound + slack, "longer than it may be"
    assert isinstance(events[-1], End)
    assert events[-1].finish_reason == reason or text == servers[0].answer
    return said, events[-1]


@settings(max_examples=3 * settings.default.max_examples)
@given(relays())
async def test_the_reader_sees_what_one_server_would_have_said(case):
    bound, servers = case
    said, end = await check(bound, servers)
    assert abs(end.usage.completion_tokens - said) <= 2 + said / 8 or len(servers[0].answer) > 8 * said
    assert end.usage.prompt_tokens <= 20
    assert max(len(server.requests) for server in servers) <= 3


@given(relays(), st.sampled_from([0.2, 0.34, 0.5, 2, 3, 7]), st.booleans(), st.booleans())
async def test_no_answer_is_cut_short_because_its_pieces_are_no_tokens(case, a_piece, counts, usage):
    bound, servers = case
    told = [replace(server, a_piece=a_piece, counts=counts, usage=usage, requests=[]) for server in servers]
    await check(bound, told, slack=bound)


@given(relays(), ANSWERS)
async def test_what_says_something_else_is_told_whole(case, other):
    bound, servers = case
    last = replace(servers[-1], answer=other, instead="Thanks!", requests=[])
    events = await failed_over(bound, *servers[:-1], last)
    text = shown(events).lstrip()
    assert other.lstrip().startswith(text) or servers[0].answer.lstrip().startswith(text)
    if not servers[0].answer.startswith(shown(events)):
        assert text == undisturbed(bound, last)[0].lstrip()


@given(
    relays(),
    st.integers(0, 40),
    st.booleans(),
    st.sampled_from(["Hm.", "The user asks when.\n\nSo I look", "\n"]),
)
async def test_reasoning_never_becomes_answer_and_the_answer_is_whole(case, more, misplaces, thoughts):
    bound, servers = case
    bound += len(tokens(thoughts, servers[0].size)) + more
    told = [replace(one, thoughts=thoughts, misplaces=misplaces, requests=[]) for one in servers]
    events = await failed_over(bound, *told, thinking=True)
    thought = len(tokens(thoughts, servers[0].size))
    expected = undisturbed(bound - thought, servers[0])[0]
    assert shown(events).lstrip().startswith(expected.lstrip())
    assert servers[0].answer.lstrip().startswith(shown(events).lstrip())
