from hypothesis import given
from hypothesis import strategies as st

from backend.chat.budget import MESSAGE_TOKENS, fitting_history
from backend.core.types import Message


def count(text: str) -> int:
    return len(text.split())


def turns(*sizes: int) -> list[Message]:
    return [Message("user" if n % 2 == 0 else "assistant", "word " * size) for n, size in enumerate(sizes)]


def test_the_oldest_turns_go_first() -> None:
    history = turns(10, 10, 10, 10)
    assert fitting_history(history, 2 * (10 + MESSAGE_TOKENS), count) == tuple(history[2:])


def test_history_never_begins_with_an_answer() -> None:
    assert fitting_history(turns(100, 10, 10, 10), 3 * (10 + MESSAGE_TOKENS), count)[0].role == "user"


@given(st.lists(st.integers(0, 50), max_size=12), st.integers(0, 400))
def test_what_is_kept_is_an_end_of_the_history_and_fits(sizes: list[int], budget: int) -> None:
    history = turns(*sizes)
    kept = fitting_history(history, budget, count)
    assert tuple(history[len(history) - len(kept) :]) == kept
    assert sum(count(message.content) + MESSAGE_TOKENS for message in kept) <= budget
