"""Whatever a conversation went through, roles alternate: strict chat templates refuse all else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.chat.base import earlier
from backend.chat.budget import fitting_history
from backend.chat.prompt import build
from backend.core.types import Message
from tests.support.passages import scored


def count(text: str) -> int:
    return len(text.split())


def roles(messages: tuple[Message, ...]) -> list[str]:
    return [message.role for message in messages]


def prompt(history: tuple[Message, ...], room: int = 4000, budget: int = 4000) -> tuple[Message, ...]:
    made = build(
        "And when?",
        scored("Open at nine."),
        history,
        "en",
        room_tokens=room,
        history_tokens=budget,
        count=count,
    )
    return made.messages


BLANKS = ["", " ", "\n\n", "\t\u3000", "\u200b", "\ufeff\u200b", "\u2028", "\x00"]


@pytest.mark.parametrize("blank", BLANKS)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_turn_without_an_answer_is_not_told_to_the_model(blank: str, place: int):
    turns = [("When?", "At nine."), ("Where?", "Here.")]
    turns.insert(place, ("Stopped?", blank))
    assert roles(prompt(earlier(turns))) == ["system", "user", "assistant", "user", "assistant", "user"]
    assert not any("Stopped" in message.content for message in prompt(earlier(turns)))


@pytest.mark.parametrize("blank", BLANKS)
def test_an_answer_without_a_question_is_not_told_either(blank: str):
    assert roles(prompt(earlier([(blank, "At nine.")]))) == ["system", "user"]


def test_a_conversation_of_nothing_but_stopped_turns_is_a_first_question():
    assert roles(prompt(earlier([("One?", ""), ("Two?", ""), ("Three?", " ")]))) == ["system", "user"]


visible = st.text(alphabet="ab <|\u200b\n\x00\ufeff\u202e[]é", max_size=12)
turns = st.lists(st.tuples(visible | st.sampled_from(BLANKS), visible | st.sampled_from(BLANKS)), max_size=8)
messages = st.lists(
    st.builds(Message, st.sampled_from(["user", "assistant", "system"]), visible | st.sampled_from(BLANKS)),
    max_size=10,
)
budgets = st.integers(0, 150)
rooms = st.integers(180, 330)
"""Below, not even the question fits."""


def alternates(found: tuple[Message, ...]) -> None:
    inner = ["user", "assistant"] * (len(found) // 2 - 1)
    assert roles(found) == ["system", *inner, "user"]
    assert all(message.content.strip() for message in found)
    assert not any(message.content.strip("\u200b\ufeff\u202e\x00 \n") == "" for message in found)


@given(turns, rooms, budgets)
def test_roles_alternate_after_any_conversation_within_any_budget(
    said: list[tuple[str, str]], room: int, budget: int
):
    alternates(prompt(earlier(said), room, budget))


@given(messages, rooms, budgets)
def test_roles_alternate_whatever_history_is_given(history: list[Message], room: int, budget: int):
    alternates(prompt(tuple(history), room, budget))


@given(turns, budgets)
def test_no_budget_begins_a_history_with_an_answer_or_ends_it_with_a_question(
    said: list[tuple[str, str]], budget: int
):
    kept = roles(fitting_history(earlier(said), budget, count))
    assert kept == ["user", "assistant"] * (len(kept) // 2)
