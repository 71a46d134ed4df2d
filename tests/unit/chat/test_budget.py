from hypothesis import given
from hypothesis import strategies as st

from backend.chat.budget import MESSAGE_TOKENS, TokenScale, TokenScales, fitting_history, shortened
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


def test_a_scale_rises_at_once_and_falls_slowly() -> None:
    scale = TokenScale()
    scale.learn(100, 150)
    assert scale.likely(100) == 150
    scale.learn(100, 300)
    assert scale.likely(100) == 300
    scale.learn(100, 100)
    assert 150 < scale.likely(100) < 300
    for _ in range(50):
        scale.learn(100, 100)
    assert scale.likely(100) <= 101


def test_counts_that_cannot_be_are_left_out() -> None:
    scale = TokenScale()
    for ours, theirs in ((1000, 12), (1000, 0), (1000, -5), (1000, 10**9), (3, 6)):
        scale.learn(ours, theirs)
    assert scale.ratio is None


def test_what_nobody_counted_yet_is_estimated_from_above_by_its_size() -> None:
    message = Message("user", "é" * 300)
    assert TokenScale().at_most(10, [message]) == 200 + MESSAGE_TOKENS
    assert TokenScale().at_most(1000, [message]) == 1250


@given(st.integers(32, 5000), st.floats(0.5, 16), st.integers(0, 100_000))
def test_our_share_of_a_model_s_tokens_is_never_more_than_they_are(
    ours: int, ratio: float, room: int
) -> None:
    scale = TokenScale()
    scale.learn(ours, int(ours * ratio))
    assert scale.likely(scale.ours(room)) <= room + 1


def test_scales_are_kept_for_the_models_asked_last() -> None:
    scales = TokenScales()
    first = scales.of("m0")
    first.learn(100, 200)
    for n in range(1, 40):
        scales.of(f"m{n}")
    assert scales.of("m0") is first
    for n in range(200):
        scales.of(f"other{n}")
    assert scales.of("m0").ratio is None


@given(st.text(), st.integers(-5, 40))
def test_a_shortened_text_is_a_beginning_that_fits(text: str, room: int) -> None:
    short = shortened(text, room, len)
    assert text.startswith(short)
    assert len(short) <= max(room, 0)


def test_a_text_is_cut_between_words() -> None:
    assert shortened("one two three four", 3, count) == "one two three"
