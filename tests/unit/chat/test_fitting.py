"""What is cut so that a prompt and its answer fit the model's context, for any tokenizer."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.chat.budget import TokenScale
from backend.chat.fitting import LEAST_TOKENS, UNTOLD_TOKENS, PromptFit, longest
from backend.core.errors import ContextOverflow
from backend.core.types import Message, Usage
from backend.engines.base import GenerationRequest
from backend.generations.base import RequestRecord
from tests.support.passages import scored
from tests.support.records import a_record, a_variant


def count(text: str) -> int:
    return len(text.split())


def record(question: str = "When is it open?", *, history=(), max_tokens: int = 512) -> RequestRecord:
    return a_record(question, history=history, variant=a_variant(max_tokens=max_tokens))


def a_fit(asked: RequestRecord, *texts: str, scale: TokenScale | None = None, given=lambda _: None):
    return PromptFit(
        record=asked, passages=scored(*texts), count=count, scale=scale or TokenScale(), history_tokens=800,
        given=given,
    )  # fmt: skip


def a_request(asked: RequestRecord, partial: str = "") -> GenerationRequest:
    return GenerationRequest(
        asked.variant.model, (), asked.variant.sampling, asked.question, (), "en", partial=partial
    )


PASSAGES = tuple(" ".join(f"w{n}x{k}" for k in range(180)) for n in range(6))


class Server:
    """Counts so many tokens a word, refuses what does not fit, and tells its figures or not."""

    def __init__(self, context: int, per_word: float, *, tells: bool = True) -> None:
        self.context, self.per_word, self.tells = context, per_word, tells
        self.asked: list[tuple[int, int]] = []

    def tokens(self, request: GenerationRequest) -> int:
        return sum(math.ceil(count(m.content) * self.per_word) + 4 for m in request.messages)

    def ask(self, fit: PromptFit, request: GenerationRequest, told: int | None) -> GenerationRequest:
        """As the pool does."""
        while True:
            cut = fit.cut(request, told)
            prompt = self.tokens(cut) + math.ceil(count(cut.partial) * self.per_word)
            if prompt >= self.context:  # the engine then asks for the whole answer anew
                prompt = self.tokens(cut)
            if prompt < self.context:
                self.asked.append((prompt, cut.sampling.max_tokens))
                fit.answered(Usage(prompt_tokens=prompt))
                return cut
            said = {"context_tokens": self.context, "prompt_tokens": prompt} if self.tells else {}
            told = min(told or self.context, self.context) if self.tells else told
            if not fit.refused(error := ContextOverflow(**said)):
                raise error


@given(
    st.integers(1024, 9000),
    st.floats(0.6, 3.0),
    st.integers(1, 4000),
    st.integers(1, 40),
    st.lists(st.integers(0, 400), max_size=8),
    st.lists(st.integers(1, 900), min_size=1, max_size=6),
    st.integers(0, 200),
)
@settings(max_examples=3 * settings.default.max_examples)
def test_once_the_model_has_counted_prompt_and_answer_never_outgrow_its_context(
    context, per_word, max_tokens, words, turns, sizes, said
):
    history = tuple(Message("user" if n % 2 == 0 else "assistant", "w " * k) for n, k in enumerate(turns))
    asked = record("q " * words, history=history, max_tokens=max_tokens)
    scale, server = TokenScale(), Server(context, per_word)
    scale.learn(1000, math.ceil(1000 * per_word))
    fit = a_fit(asked, *("w " * k for k in sizes), scale=scale)
    cut = server.ask(fit, a_request(asked, "w " * said), context)
    assert cut.passages
    bound = cut.sampling.max_tokens
    assert 1 <= bound <= max_tokens
    assert server.tokens(cut) + bound <= context


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize("context", [768, 1024, 2048, 4096, 262_144])
@pytest.mark.parametrize("per_word", [0.7, 1.0, 1.5, 3.0, 4.5])
def test_any_tokenizer_and_context_is_answered_and_the_second_question_fits_at_once(context, per_word, tells):
    asked, scale = record(), TokenScale()
    server = Server(context, per_word, tells=tells)
    for number in range(5):
        fit = a_fit(asked, *PASSAGES, scale=scale)
        server.ask(fit, a_request(asked), context)
        assert len(server.asked) == number + 1
        assert fit._refusals == 0 or number == 0
    assert all(prompt + bound <= context for prompt, bound in server.asked[1:])
    assert all(bound >= min(256, context // 16) for _, bound in server.asked[1:])


def test_what_fits_is_given_whole_and_the_answer_may_be_as_long_as_asked():
    asked = record(history=(Message("user", "Before?"), Message("assistant", "Yes.")))
    cut = a_fit(asked, *PASSAGES).cut(a_request(asked), 262_144)
    assert len(cut.passages) == 6
    assert [message.role for message in cut.messages] == ["system", "user", "assistant", "user"]
    assert cut.sampling.max_tokens == 512


def test_history_goes_before_passages_and_the_best_passage_stays():
    history = (Message("user", "old " * 300), Message("assistant", "older " * 300))
    asked = record(history=history)
    cut = a_fit(asked, *PASSAGES, scale=TokenScale(1.0)).cut(a_request(asked), 1024)
    assert [message.role for message in cut.messages] == ["system", "user"]
    assert cut.passages[0].passage.text == PASSAGES[0]
    assert 1 <= len(cut.passages) < 6


def test_a_passage_that_is_too_long_is_cut_rather_than_left_out():
    asked = record()
    cut = a_fit(asked, "word " * 3000).cut(a_request(asked), 1024)
    assert len(cut.passages) == 1
    assert 100 < count(cut.passages[0].passage.text) < 900


def test_who_follows_is_told_how_many_passages_may_be_cited():
    asked, told = record(), []
    fit = a_fit(asked, *PASSAGES, given=told.append)
    fit.cut(a_request(asked), 262_144)
    fit.cut(a_request(asked), 1024)
    assert told[0] == 6
    assert 1 <= told[1] < 6


def test_a_question_that_fills_the_context_is_refused_and_one_that_just_fits_is_not():
    scale = TokenScale(1.0)
    refused = [
        words for words in range(100, 1100, 10)
        if not _is_answered(record("q " * words), scale)
    ]  # fmt: skip
    assert refused == list(range(refused[0], 1100, 10))
    rules = count(a_fit(record(), "x").whole(None).messages[0].content)
    assert 1024 - rules - 250 < refused[0] <= 1024 - rules


def _is_answered(asked: RequestRecord, scale: TokenScale) -> bool:
    server = Server(1024, 1.0)
    try:
        server.ask(a_fit(asked, *PASSAGES, scale=scale), a_request(asked), 1024)
    except ContextOverflow:
        return False
    assert server.asked[-1][1] >= LEAST_TOKENS
    return True


def test_where_nothing_is_told_the_answer_is_bounded_as_asked_and_the_prompt_as_usual():
    asked = record(max_tokens=5000)
    cut = a_fit(asked, *PASSAGES).cut(a_request(asked), None)
    assert cut.sampling.max_tokens == 5000
    assert len(cut.passages) == 6
    assert (
        a_fit(asked, *["word " * 3000]).cut(a_request(asked), None).passages[0].passage.text.split() != 3000
    )
    assert sum(count(m.content) for m in cut.messages) < UNTOLD_TOKENS


def test_an_answer_that_goes_on_elsewhere_has_room_to_be_told_anew():
    asked, said = record(), "said " * 300
    fit = a_fit(asked, *PASSAGES, scale=TokenScale(1.0))
    cut = fit.cut(a_request(asked, said), 1536)
    prompt = sum(count(message.content) for message in cut.messages)
    assert cut.sampling.max_tokens >= 300 + 64
    assert prompt + 300 + cut.sampling.max_tokens <= 1536
    assert cut.partial == said


def test_a_continuation_is_not_refused_for_what_was_said_already():
    asked = record()
    cut = a_fit(asked, *PASSAGES, scale=TokenScale(1.0)).cut(a_request(asked, "said " * 700), 1024)
    assert cut.passages


def test_counts_of_a_continuation_teach_nothing():
    scale = TokenScale(1.0)
    asked = record()
    fit = a_fit(asked, *PASSAGES, scale=scale)
    fit.cut(a_request(asked, "said " * 100), 4096)
    fit.answered(Usage(prompt_tokens=9000))
    assert scale.ratio == 1.0
    fit.cut(a_request(asked), 4096)
    fit.answered(Usage(prompt_tokens=None))
    assert scale.ratio == 1.0


def test_the_longest_context_is_that_of_sources():
    assert longest([]) is None
    assert longest([1024, None]) is None
    assert longest([1024, 8192]) == 8192


def test_a_prompt_for_a_context_that_is_too_small_has_every_passage():
    asked = replace(record(), question="q " * 2000)
    assert len(a_fit(asked, *PASSAGES).whole(1024).passages) == 6
