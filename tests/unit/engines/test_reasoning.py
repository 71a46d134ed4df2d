# ruff: noqa: E501  replies as models write them
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.engines.base import Misplaced, Text, Thought
from backend.engines.reasoning import _ALL, ReasoningFilter


def split(*parts, cut=False):
    """Reasoning and answer as a reader has them at the end."""
    reasoning = ReasoningFilter()
    thought, answer = "", ""
    for piece in [p for part in parts for p in reasoning.feed(part)] + reasoning.flush(cut=cut):
        match piece:
            case Misplaced():
                thought, answer = thought + answer, ""
            case Thought(text):
                thought += text
            case Text(text):
                answer += text
    return thought, answer


def letters(text):
    return split(*text)


FAMILIES = {
    "DeepSeek-R1, Qwen3": "<think>\nsecret plan\n</think>\n\nThree weeks [1].",
    "Ollama's pieces": "<think>secret plan</think>\n\nThree weeks [1].",
    "nothing thought": "<think>\n\n</think>\n\nsecret plan</think>Three weeks [1].",
    "only the closing tag": "secret plan\n</think>\n\nThree weeks [1].",
    "closed without a line": "secret plan</think>Three weeks [1].",
    "in capitals": "<THINK>secret plan</Think>\nThree weeks [1].",
    "after a greeting's blank": "\n <think>secret plan</think>Three weeks [1].",
    "twice": "<think>secret</think><think> plan</think>Three weeks [1].",
    "in the middle": "Three <think>secret plan</think>weeks [1].",
    "thinking": "<thinking>secret plan</thinking>\n\nThree weeks [1].",
    "thought": "<thought>\nsecret plan\n</thought>\nThree weeks [1].",
    "reasoning": "<reasoning>secret plan</reasoning>Three weeks [1].",
    "reason": "<reason>secret plan</reason>Three weeks [1].",
    "only its closing": "secret plan</reasoning>\nThree weeks [1].",
    "Magistral": "[THINK]secret plan[/THINK]Three weeks [1].",
    "Magistral, closed only": "secret plan[/THINK]Three weeks [1].",
    "Kimi-VL": "◁think▷secret plan◁/think▷Three weeks [1].",
    "Seed-OSS": "<seed:think>secret plan</seed:think>Three weeks [1].",
    "OpenThinker": "<|begin_of_thought|>secret plan<|end_of_thought|><|begin_of_solution|>Three weeks [1].<|end_of_solution|>",
    "Command A": "<|START_THINKING|>secret plan<|END_THINKING|><|START_RESPONSE|>Three weeks [1].<|END_RESPONSE|>",
    "Apertus": "<|inner_prefix|>secret plan<|inner_suffix|>Three weeks [1].",
    "Gemma": "<|channel>thought\nsecret plan<channel|>Three weeks [1].",
    "Granite": "Here is my thought process:\nsecret plan\n\nHere is my response:\nThree weeks [1].",
    "Granite, contracted": "Here's my thought process: secret plan Here's my response: Three weeks [1].",
    "Harmony": "<|channel|>analysis<|message|>secret plan<|end|><|start|>assistant<|channel|>final<|message|>Three weeks [1].<|return|>",
    "Harmony, begun by the prompt": "secret plan<|end|><|start|>assistant<|channel|>final<|message|>Three weeks [1].",
    "Harmony, start to end": "<|start|>assistant<|channel|>analysis<|message|>secret plan<|end|><|start|>assistant"
    "<|channel|>final<|message|>Three weeks [1].<|end|>",
    "Harmony, no end between": "<|channel|>analysis<|message|>secret plan<|channel|>final<|message|>Three weeks [1].",
    "Harmony, commentary": "<|channel|>commentary to=functions.f <|constrain|>json<|message|>secret plan<|call|>"
    "<|start|>assistant<|channel|>final<|message|>Three weeks [1].",
    "Harmony, control tokens taken away": "analysisWe have a secret planassistantfinalThree weeks [1].",
    "Hunyuan": "<think>\nsecret plan\n</think>\n<answer>\nThree weeks [1].</answer>",
    "Ernie": "<think>\nsecret plan\n</think>\n\n<response>\nThree weeks [1].</response>",
    "GLM": "<think>secret plan</think><|begin_of_box|>Three weeks [1].<|end_of_box|>",
    "a stop token": "Three weeks [1].<|im_end|>",
}


@pytest.mark.parametrize("said", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.parametrize("cutting", [split, letters], ids=["whole", "letters"])
def test_no_mark_of_a_usual_family_and_no_reasoning_is_in_the_answer(cutting, said):
    thought, answer = cutting(said)
    assert answer.strip() == "Three weeks [1]."
    assert all(word not in answer for word in ("secret", "plan"))
    if "secret" in said:
        assert "".join(thought.split()).endswith("secretplan")


PROSE = {
    "a span": "Write `<think>x</think>` there.",
    "a longer span": "Write ``a ` <think>`` there.",
    "a fence": "So:\n```xml\n<think>\nx\n</think>\n```\nThat is all.",
    "a fence of waves": "So:\n~~~\n</think>\n~~~\nThat is all.",
    "a document's markup": "The field <reason>moved</reason> is read.",
    "its wrapper": "The field <answer>six</answer> is read.",
    "an unclosed mark": "Begin with <think> and go on.",
    "less than": "a < b, c <d, <<e>>",
    "brackets": "See [1], [TH], [T",
    "analysis": "analysis of the loans shows six.",
    "Here is": "Here is my thought: six.",
    "a beginning": "It ends with <thi",
    "blanks": "  \n Six.\n\n",
}


@pytest.mark.parametrize("said", PROSE.values(), ids=PROSE)
@pytest.mark.parametrize("cutting", [split, letters], ids=["whole", "letters"])
def test_an_answer_may_speak_of_marks(cutting, said):
    assert cutting(said)[1] == said


def test_reasoning_that_never_closes_stays_reasoning():
    assert split("<think>on and on </thi") == ("on and on </thi", "")


def test_reasoning_in_the_middle_that_met_the_bound_stays_reasoning():
    assert split("Six. <think>on and on", cut=True) == ("on and on", "Six. ")


def test_a_code_span_that_is_never_closed_ends_with_its_paragraph():
    assert letters("A ` tick.\n\nplan</think>Six.") == ("A ` tick.\n\nplan", "Six.")


def test_what_was_shown_before_a_late_closing_tag_is_taken_back():
    reasoning = ReasoningFilter()
    assert reasoning.feed("secret ") == [Text("secret ")]
    assert reasoning.feed("plan</think>Six.") == [Misplaced(), Thought("plan"), Text("Six.")]


PARTS = st.sampled_from(
    [*_ALL, "analysis", "final", "assistantfinal", "`", "```", "\n", " ", "a", "B ", "[1]", "<", "|"]
)


@given(st.lists(PARTS, max_size=12).map("".join), st.lists(st.integers(0, 120), max_size=12))
def test_however_the_text_is_cut_the_result_is_the_same(text, cuts):
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    assert split(*(text[a:b] for a, b in pairwise(edges))) == split(text)
