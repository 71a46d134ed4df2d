"""What a model says: a script, an echo, a seeded word list, or a recital of the passages it was given."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import orjson

from ollama_emulator.templates import Prefill
from ollama_emulator.tokens import LONGEST_WORD, tokenise

Reasoning = Literal["none", "apart", "inside"]
"""Where reasoning is told: nowhere, in a field of its own, or within the answer, between its tags."""
Mode = Literal["words", "echo", "script", "recite", "count", "endless"]

_WORDS = re.findall(
    r"\w+",
    "archive answer branch careful catalogue chapter charter clear closing council counter copy detail "
    "document early edition entry evidence figure folder founded garden guide harbour history index "
    "inside journal key late letter library light list local manual map margin measure meeting member "
    "minute notice number office open order page paper passage plan place private public quiet reader "
    "reason record report return room rule season section service shelf short simple source space stair "
    "street summary table term text title tower update usual value version visit volume water weekly "
    "window winter work writer yearly ",
)
_THOUGHT = (
    "The question asks for facts. The extracts are numbered, so I look for those that bear on it first."
)
_USERS = (
    "What else should I know about the {word}?",
    "Thank you, that is all for now.",
    "No, I asked about the {word} and not about the {other}.",
    "The {word} is beside the {other}.",
)
"""What a model says when the template has opened a turn of the user: anything a user might say."""
_EXTRACT = re.compile(r'<extract n="(\d+)">\n[^\n]*\n(.*?)\n</extract>', re.DOTALL)
_COUNT = re.compile(r"\bcount (?:from (\d+) )?to (\d+)\b")
_NUMBERED = re.compile(r"^\s*\[(\d+)\][:.]?\s+(.+?)(?=\n\s*\[\d+\]|\n\n|\Z)", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Reply:
    """Everything a generation will say if nobody stops it.

    Attributes:
        tokens: Thinking first, then the answer.
        thinking: How many of `tokens` are thinking.
        hidden: How many at the end are generated but not shown (tool calls, until they can be parsed).
        endless: Begins again after its last token.
    """

    tokens: Sequence[str]
    thinking: int = 0
    hidden: int = 0
    tool_calls: Sequence[Mapping[str, Any]] = ()
    endless: bool = False


@dataclass(frozen=True, slots=True)
class Script:
    """One scripted reply; `when` is searched in the last user message, "" fits all."""

    content: str = ""
    thinking: str = ""
    tool_calls: Sequence[Mapping[str, Any]] = ()
    when: str = ""


@dataclass(frozen=True, slots=True)
class Prompted:
    """What a reply is made from.

    Attributes:
        letters: Most of a word in one token.
    """

    model: str
    question: str
    prompt: str
    prefill: str = ""
    reasoning: Reasoning = "none"
    think_tags: tuple[str, str] = ("<think>", "</think>")
    letters: int = LONGEST_WORD
    tools: tuple[str, ...] = ()
    seed: int | None = None
    json: bool = False


@dataclass(frozen=True, slots=True)
class ReplySource:
    """How replies come about.

    Attributes:
        length: Fewest and most words of a `words` reply.
        eos_after: Cut every reply after so many tokens; 0: do not.
        thinking_words: About how many words a thinking model thinks; 0: one fixed sentence.
    """

    mode: Mode = "words"
    scripts: tuple[Script, ...] = ()
    length: tuple[int, int] = (40, 120)
    eos_after: int = 0
    thinking_words: int = 0
    word: str = ""
    seed: int = field(default=0, compare=False)

    def updated(self, changes: Mapping[str, Any] | str) -> ReplySource:
        """With `changes` from JSON; a bare string is a script that says it."""
        if isinstance(changes, ReplySource):
            return changes
        if isinstance(changes, str):
            return replace(self, mode="script", scripts=(Script(changes),))
        known = dict(changes)
        if "scripts" in known:
            scripts = known["scripts"]
            known["scripts"] = tuple(Script(s) if isinstance(s, str) else Script(**s) for s in scripts)
            known.setdefault("mode", "script")
        if "length" in known:
            low, high = (
                known["length"] if isinstance(known["length"], (list, tuple)) else [known["length"]] * 2
            )
            known["length"] = (int(low), int(high))
        try:
            return replace(self, **known)
        except TypeError as exc:
            raise ValueError(str(exc)) from exc

    def reply(self, asked: Prompted, behaviour: Prefill, seed: int) -> Reply:
        """The reply to `asked` by a model that does `behaviour` after a last message of the assistant."""
        rng = random.Random(f"{seed}|{asked.model}|{asked.seed}|{asked.prompt}")
        if asked.prefill and behaviour == "user_turn":
            return Reply(tokenise(_as_a_user(rng), asked.letters))
        script = self._script(asked, rng)
        content = _prefilled(script.content, asked.prefill, behaviour)
        reasons = asked.reasoning != "none" and (not asked.prefill or behaviour == "restart")
        thoughts, content = _thought_through(asked, script.thinking, content) if reasons else ("", content)
        thinking = tokenise(thoughts, asked.letters)
        tokens = [*thinking, *tokenise(content, asked.letters)]
        if self.eos_after:
            tokens = tokens[: self.eos_after]
        calls = script.tool_calls if asked.tools else ()
        hidden = tokenise(orjson.dumps(calls).decode(), asked.letters) if calls else []
        thought = min(len(thinking), len(tokens))
        return Reply([*tokens, *hidden], thought, len(hidden), calls, endless=self.mode == "endless")

    def _script(self, asked: Prompted, rng: random.Random) -> Script:
        thought = _sentences(self.thinking_words, rng) if self.thinking_words else _THOUGHT
        if self.mode == "script":
            found = next((s for s in self.scripts if re.search(s.when, asked.question)), Script("Hello [1]."))
            return found if found.thinking else replace(found, thinking=thought)
        if asked.json:
            return Script('{"answer": "yes"}', thought)
        if self.mode == "echo":
            return Script(asked.question, thought)
        if self.mode == "count":
            return Script(_counted(asked.question), thought)
        if self.mode == "recite":
            return Script(_recital(asked.prompt), thought)
        if self.mode == "endless":
            return Script(self.word or _sentences(200, rng) + " ", thought)
        return Script(_sentences(rng.randint(*self.length), rng), thought)


def _as_a_user(rng: random.Random) -> str:
    word, other = rng.sample(_WORDS, 2)
    return rng.choice(_USERS).format(word=word, other=other)


def _thought_through(asked: Prompted, thoughts: str, content: str) -> tuple[str, str]:
    """What is told apart, and the answer; reasoning that a script has between its tags is the model's own."""
    opening, closing = asked.think_tags
    inside = content.lstrip()
    if opening and inside.startswith(opening) and closing in inside:
        if asked.reasoning == "inside":
            return "", content
        thoughts, _, content = inside.removeprefix(opening).partition(closing)
        return thoughts.strip(), content.lstrip()
    if asked.reasoning == "apart":
        return thoughts, content
    return "", f"{opening}{thoughts}{closing}\n\n{content}"


def _prefilled(full: str, prefill: str, behaviour: Prefill) -> str:
    if not prefill or behaviour == "restart":
        return full
    rest = full[len(prefill) :] if full.startswith(prefill) else full
    if behaviour == "repeat":
        return prefill + rest
    return rest.removeprefix(" ") if behaviour == "trim_space" else rest


def _sentences(words: int, rng: random.Random) -> str:
    """Sentences of six to fourteen words from the list, `words` in all."""
    sentences: list[str] = []
    while words > 0:
        take = min(words, rng.randint(6, 14))
        sentence = " ".join(rng.choices(_WORDS, k=take))
        sentences.append(sentence[0].upper() + sentence[1:] + ".")
        words -= take
    return " ".join(sentences)


def _counted(question: str) -> str:
    wanted = _COUNT.search(question)
    first, last = (int(wanted[1] or 1), int(wanted[2])) if wanted else (1, 10)
    return " ".join(map(str, range(first, last + 1)))


def _recital(prompt: str) -> str:
    """A sentence from each of the prompt's first two passages, cited; without passages, two of our own."""
    found = dict(_EXTRACT.findall(prompt) or _NUMBERED.findall(prompt))
    said = [f"{_first_sentence(found[n])} [{n}]." for n in ("1", "2") if n in found]
    if len(said) < 2:
        said += ["The documents say so [1].", "A second passage confirms it [2]."][len(said) :]
    return " ".join(said)


def _first_sentence(text: str, words: int = 30) -> str:
    flat = " ".join(text.split())
    sentence = re.split(r"(?<=[.!?])\s", flat, maxsplit=1)[0].rstrip(".!? ")
    return " ".join(sentence.split()[:words])
