import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.engines.ollama_messages import refused as ollama_refused
from backend.engines.openai_chunks import refused as openai_refused
from backend.engines.overflow import overflow, tokens
from backend.engines.refusal import Refusal

LLAMA = {
    "code": 400, "type": "exceed_context_size_error", "n_prompt_tokens": 5000, "n_ctx": 4096,
    "message": "request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it",
}  # fmt: skip
SENTENCES = {
    "This model's maximum context length is 4096 tokens. However, you requested 5512 tokens (5000 in the "
    "messages, 512 in the completion). Please reduce the length of the messages or completion.": (4096, 5000),
    "This model's maximum context length is 4096 tokens. However, your messages resulted in 5000 tokens.": (
        4096,
        5000,
    ),
    "This model's maximum context length is 4,096 tokens. However, your request has 5,000 input tokens.": (
        4096,
        5000,
    ),
    "'max_tokens' or 'max_completion_tokens' is too large: 512. This model's maximum context length is 4096 "
    "tokens and your request has 3700 input tokens (512 > 4096 - 3700).": (4096, 3700),
    "You passed 5000 input tokens and requested 512 output tokens. However, the model's context length is "
    "only 4096 tokens, resulting in a maximum input length of 3584 tokens.": (4096, 5000),
    "this model's maximum context length is 4096 tokens, but the prompt contains 5000 input tokens": (
        4096,
        5000,
    ),
    "The decoder prompt (length 5000) is longer than the maximum model length of 4096.": (4096, 5000),
    "The prompt (total length 5000) is too long to fit into the model (context length 4096).": (4096, 5000),
    "The input (5000 tokens) is longer than the model's context length (4096 tokens).": (4096, 5000),
    "Requested token count exceeds the model's maximum context length of 4096 tokens. You requested a total "
    "of 5512 tokens: 5000 tokens from the input messages and 512 tokens for the completion.": (4096, 5000),
    "Trying to keep the first 5000 tokens when context the overflows. However, the model is loaded with "
    "context length of only 4096 tokens, which is not enough.": (4096, 5000),
    "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens "
    "and 512 `max_new_tokens`": (4096, 5000),
    "Input validation error: `inputs` must have less than 4096 tokens. Given: 5000": (4096, 5000),
    "Requested tokens (5000) exceed context window of 4096": (4096, 5000),
    "prompt is too long: 5000 tokens > 4096 maximum": (4096, 5000),
    "Prompt contains 5000 tokens, too large for model with 4096 maximum context length": (4096, 5000),
    "This model's maximum prompt length is 4096 but the request contains 5000 tokens": (4096, 5000),
    "prompt token count of 5000 exceeds the limit of 4096": (4096, 5000),
    "The input token count (5000) exceeds the maximum number of tokens allowed (4096).": (4096, 5000),
    "the prompt is longer than the context length currently available to the model; shorten it": (None, None),
    "the request exceeds the available context size. try increasing the context size": (None, None),
    "the input length exceeds the context length": (None, None),
    "This model's maximum context length is 9 tokens.": (9, None),
}


def wrapped(sentence):
    """The same words as different servers wrap them."""
    yield {"error": sentence}
    yield {"error": {"message": sentence, "type": "BadRequestError", "code": 400}}
    yield {"object": "error", "message": sentence, "code": 400}
    yield {"detail": sentence}
    yield {"detail": [{"msg": sentence}]}
    yield {"error": json.dumps({"error": {"message": sentence}})}


@pytest.mark.parametrize("sentence", SENTENCES)
def test_the_figures_of_a_sentence_are_read_however_it_is_wrapped(sentence):
    for body in wrapped(sentence):
        for found in (overflow(body), ollama_refused(Refusal(400, body)), openai_refused(Refusal(400, body))):
            assert found is not None
            assert found.code == "context_overflow"
            assert (found.context_tokens, found.prompt_tokens) == SENTENCES[sentence], body


@pytest.mark.parametrize(
    "body", [{"error": LLAMA}, {"error": json.dumps({"error": LLAMA})}, {"error": json.dumps(LLAMA)}, LLAMA]
)
def test_the_fields_of_llamacpp_are_read_inside_ollamas_string_too(body):
    found = overflow(body)
    assert (found.context_tokens, found.prompt_tokens) == (4096, 5000)


@pytest.mark.parametrize("odd", [0, -1, "many", True, 10**12, None, 1.5, [4096]])
def test_a_figure_that_makes_no_sense_is_left_out(odd):
    error = {"type": "exceed_context_size_error", "n_ctx": odd, "n_prompt_tokens": odd}
    found = overflow({"error": error})
    assert (found.context_tokens, found.prompt_tokens) == (None, None)


@pytest.mark.parametrize(
    "body",
    [
        None, [], {}, 7, "no", {"error": "model not found"}, {"error": {"message": None}},
        {"error": {"message": "Rate limit reached on tokens per minute: Limit 6000, Requested 7000"}},
        {"error": {"message": "max_tokens must be at least 1, got 0.", "code": 400}},
        {"error": '"tiny" does not support thinking'}, {"error": "{not json"},
        {"error": {"message": "the body is too long"}},
        {"detail": [{"msg": "extra field", "input": {"messages": [{"content": "maximum context length"}]}}]},
    ],
)  # fmt: skip
def test_other_refusals_are_no_overflow(body):
    assert overflow(body) is None


def test_digits_in_a_string_are_a_number():
    assert [tokens(value) for value in ("4096", "", "-5", "4e3", "٤", "9" * 30)] == [4096, *[None] * 5]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30) | st.sampled_from(list(SENTENCES)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_no_body_breaks_the_reader(body):
    found = overflow(body)
    assert found is None or found.code == "context_overflow"
