"""Replies of every make, cut at any byte: no mark, no reasoning in the answer, no word lost, one end.

`EXAMPLES=20000 pytest tests/unit/engines/test_wire_fuzz.py` runs as many cases of each test.
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.errors import EngineError
from backend.engines.base import End, Endpoint, Misplaced, Text, Thought
from backend.engines.dialects import DIALECTS
from backend.engines.ollama import OllamaEngine
from backend.engines.openai_compat import OpenAICompatEngine
from backend.engines.reasoning import _ALL
from tests.support.asks import a_request
from tests.support.canned import CannedSession

PAIRS = (
    ("<think>", "</think>"),
    ("<THINK>", "</Think>"),
    ("<thinking>", "</thinking>"),
    ("<reasoning>\n", "\n</reasoning>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<seed:think>", "</seed:think>"),
    ("<|begin_of_thought|>", "<|end_of_thought|><|begin_of_solution|>"),
    ("<|START_THINKING|>", "<|END_THINKING|><|START_RESPONSE|>"),
    ("<|channel>thought\n", "<channel|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    ("<|start|>assistant<|channel|>commentary<|message|>", "<|channel|>final<|message|>"),
    ("Here is my thought process:\n", "\nHere is my response:\n"),
    ("<think>", "</think><answer>"),
)
LATE = (
    "</think>",
    "</thinking>",
    "[/THINK]",
    "◁/think▷",
    "<|END_THINKING|>",
    "<|start|>assistant<|channel|>final<|message|>",
)
"""Close what nothing opened."""
ENDS = ("", "", "", "<|im_end|>", "<|return|>", "<|END_RESPONSE|>", "<|end_of_solution|>")
BLANKS = st.sampled_from(["", " ", "\n", "\n\n"])
OPENAI_GOOD = ("stop", "length", "content_filter", "eos_token", "max_tokens", "tool_calls", "whatever")
OLLAMA_GOOD = ("stop", "length", None, "whatever")
FIRST_ONLY = frozenset({"Here is my thought process:\n"})


def words(letter: str) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from([f"{letter}{n}x" for n in range(10)]), min_size=1, max_size=5)


@dataclass(frozen=True)
class Reply:
    """What a model says, and what a reader must see of it."""

    content: str
    answer: tuple[str, ...]
    reasoning: tuple[str, ...]


@st.composite
def replies(draw: st.DrawFn) -> Reply:
    content, answer, reasoning = "", [], []

    def say(letter: str, kept: list[str]) -> None:
        nonlocal content
        said = draw(words(letter))
        kept += said
        content += " ".join(said)

    def block() -> None:
        nonlocal content
        opening, closing = draw(
            st.sampled_from([pair for pair in PAIRS if not content or pair[0] not in FIRST_ONLY])
        )
        if opening.startswith(("<thinking", "<reasoning")) and content:
            content += "\n"
        content += opening + draw(BLANKS)
        say("R", reasoning)
        content += draw(BLANKS) + closing + draw(BLANKS)

    if draw(st.booleans()):
        block()
    elif draw(st.booleans()):
        say("R", reasoning)
        content += draw(BLANKS) + draw(st.sampled_from(LATE)) + draw(BLANKS)
    say("A", answer)
    if draw(st.integers(0, 3)) == 0 and "<|channel|>" not in content and "final" not in content:
        content += " "
        opening, closing = draw(st.sampled_from(PAIRS[:1] + PAIRS[4:7]))
        content += opening
        say("R", reasoning)
        content += closing
        say("A", answer)
    return Reply(content + draw(st.sampled_from(ENDS)), tuple(answer), tuple(reasoning))


def cut(draw: st.DrawFn, whole: bytes | str, most: int) -> list:
    edges = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=most)))
    return [whole[a:b] for a, b in zip([0, *edges], [*edges, len(whole)], strict=True)]


def spoilt(draw: st.DrawFn, encoded: bytes) -> bytes:
    """A byte that is no character at the end of a content, now and then."""
    junk = draw(st.sampled_from([b"", b"", b"", b"\xff", b"\xf0\x9f", b"\\ud83d", b"\\udc00"]))
    return encoded.replace(b"@@", junk)


def message(draw: st.DrawFn, piece: str) -> dict:
    role = draw(st.sampled_from([{"role": "assistant"}, {}, {"role": None}, {"role": "user"}]))
    mark = "@@" if re.search(r"\dx $", piece) else ""
    return {**role, "content": piece + mark}


def dumped(draw: st.DrawFn, value: object) -> bytes:
    return spoilt(draw, json.dumps(value, ensure_ascii=draw(st.booleans())).encode())


@st.composite
def openai_reads(draw: st.DrawFn, reply: Reply) -> list[bytes]:
    events = []
    for piece in cut(draw, reply.content, 12):
        choice = {"index": 0, "delta": message(draw, piece), "finish_reason": None}
        events.append(b"data: " + dumped(draw, {"choices": [choice]}))
        events += draw(st.sampled_from([[], [], [b": ping"], [b'data: {"choices":[]}'], [b"id: 3"]]))
    finish = draw(st.sampled_from(OPENAI_GOOD))
    last = {"choices": [{"delta": {}, "finish_reason": finish}], "usage": {"completion_tokens": 3}}
    events += [b"data: " + json.dumps(last).encode(), *draw(st.sampled_from([[], [b"data: [DONE]"]]))]
    gap = draw(st.sampled_from([b"\n\n", b"\r\n\r\n", b"\r\r"]))
    return cut(draw, gap.join(events) + gap, 20)


@st.composite
def ollama_reads(draw: st.DrawFn, reply: Reply) -> list[bytes]:
    lines = []
    for piece in cut(draw, reply.content, 12):
        lines.append(dumped(draw, {"message": message(draw, piece), "done": False}))
        lines += draw(st.sampled_from([[], [], [b""], [b'{"message":{"content":""},"done":false}']]))
    reason = draw(st.sampled_from(OLLAMA_GOOD))
    last = {"message": {"content": ""}, "done": True, **({"done_reason": reason} if reason else {})}
    return cut(draw, b"\n".join([*lines, json.dumps(last).encode()]) + b"\n", 20)


def seen(engine: object) -> tuple[str, str, int, EngineError | None]:
    """Answer, reasoning, how many ends, and what broke it off."""
    answer = thinking = ""
    ends, broke = 0, None

    async def run() -> None:
        nonlocal answer, thinking, ends, broke
        try:
            async for piece in engine.generate(Endpoint("http://m"), a_request()):
                assert not ends, "nothing comes after the end"
                match piece:
                    case Text(text):
                        answer += text
                    case Thought(text):
                        thinking += text
                    case Misplaced():
                        answer, thinking = "", thinking + answer
                    case End():
                        ends += 1
        except EngineError as exc:
            broke = exc

    asyncio.run(run())
    return answer, thinking, ends, broke


def spoken(text: str, letter: str) -> tuple[str, ...]:
    return tuple(re.findall(rf"{letter}\dx", text))


MARKS = re.compile("|".join(re.escape(mark) for mark in (*_ALL, "<answer>", "Here is my")), re.IGNORECASE)


def check(reply: Reply, answer: str, thinking: str, ends: int, broke: EngineError | None) -> None:
    assert (ends, broke) == (1, None)
    assert spoken(answer, "A") == reply.answer
    assert spoken(thinking, "R") == reply.reasoning
    assert not spoken(answer, "R")
    assert not MARKS.search(answer), answer


@given(data=st.data(), reply=replies())
@pytest.mark.parametrize("dialect", ["openai"])
def test_openai(dialect, data, reply):
    engine = OpenAICompatEngine(CannedSession(data.draw(openai_reads(reply))), dialect=DIALECTS[dialect])
    check(reply, *seen(engine))


@given(data=st.data(), reply=replies())
def test_ollama(data, reply):
    reads = data.draw(ollama_reads(reply))
    engine = OllamaEngine(CannedSession(reads, "application/x-ndjson"), context_tokens=4096)
    check(reply, *seen(engine))


@given(data=st.data(), reply=replies(), at=st.integers(0, 4000))
@pytest.mark.parametrize("kind", ["openai", "ollama"])
def test_a_stream_that_breaks_off_never_ends_well_and_what_came_is_kept(kind, data, reply, at):
    reads = b"".join(data.draw((openai_reads if kind == "openai" else ollama_reads)(reply)))
    whole = reads[: at % len(reads)]
    bad = data.draw(
        st.sampled_from([b"", b"data: {oops\n\n", b'{"error":"x"}\n', b'data: {"error":"x"}\n\n'])
    )
    session = CannedSession([whole, bad])
    engine = OpenAICompatEngine(session) if kind == "openai" else OllamaEngine(session, context_tokens=4096)
    answer, _, ends, broke = seen(engine)
    assert ends + (broke is not None) == 1
    if broke is not None:
        assert reply.answer[: len(spoken(answer, "A"))] == spoken(answer, "A")
