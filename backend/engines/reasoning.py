"""Reasoning that comes inside the content, told apart from the answer as it streams.

Which marks a model writes is seldom told, and servers pass through what they do not know: so the marks of
every usual family are looked for in every reply. Inside code they are text.

Source: the chat templates of DeepSeek-R1, Qwen3 and most others (`<think>`), Magistral (`[THINK]`), Kimi-VL,
Seed-OSS, Command A, Gemma, Granite 3.2, Apertus, gpt-oss (Harmony), Hunyuan and Ernie (a wrapped answer),
GLM (a boxed one).
"""

from __future__ import annotations

import re
from enum import Enum, auto
from functools import lru_cache

from backend.engines.base import Misplaced, Text, Thought, Told

_ANYWHERE = {
    "<think>": "</think>",
    "<seed:think>": "</seed:think>",
    "[THINK]": "[/THINK]",
    "◁think▷": "◁/think▷",
    "<|begin_of_thought|>": "<|end_of_thought|>",
    "<|START_THINKING|>": "<|END_THINKING|>",
    "<|inner_prefix|>": "<|inner_suffix|>",
    "<|channel>thought": "<channel|>",
}
_ON_A_LINE_OF_ITS_OWN = {
    f"<{name}>": f"</{name}>" for name in ("thinking", "thought", "reason", "reasoning", "scratchpad")
}
"""In the middle of a line these may be a document's own markup."""
_SPOKEN = {
    "Here is my thought process:": "Here is my response:",
    "Here's my thought process:": "Here's my response:",
    "analysis": "assistantfinal",
}
"""Plain words are marks only where a reply begins; the last is Harmony with its control tokens taken away."""
_DROPPED = (
    *("<|begin_of_solution|>", "<|end_of_solution|>", "<|START_RESPONSE|>", "<|END_RESPONSE|>"),
    *("<|begin_of_box|>", "<|end_of_box|>", "<|im_end|>", "<|eot_id|>", "<|endoftext|>", "<end_of_turn>"),
)
_WRAPPERS = {"<answer>": "</answer>", "<response>": "</response>"}
"""Taken off an answer that they enclose after reasoning."""

_HEADERS = ("<|start|>", "<|channel|>")
_MESSAGE = "<|message|>"
_ENDS = ("<|end|>", "<|return|>", "<|call|>")
_FINAL = re.compile(r"<\|channel\|>\s*final\b", re.IGNORECASE)
_CHANNEL = "<|channel|>"
_LONGEST_HEADER = 200
_HARMONY_ENDS = re.compile("|".join(re.escape(mark) for mark in (*_ENDS, *_HEADERS)), re.IGNORECASE)
_FENCE = 3

_CLOSES = {**_ANYWHERE, **_ON_A_LINE_OF_ITS_OWN}
_CLOSING = frozenset(mark.lower() for mark in _CLOSES.values())
_OPENING = {opening.lower(): closing for opening, closing in _CLOSES.items()}
_ALL = (*_CLOSES, *_CLOSES.values(), *_DROPPED, *_WRAPPERS.values(), *_HEADERS, _MESSAGE, *_ENDS)
_BEGINNINGS = frozenset(mark[:n].lower() for mark in _ALL for n in range(1, len(mark)))


def _any_of(marks: tuple[str, ...]) -> str:
    """A pattern for any of them; those in angle brackets in any case, as models miswrite them."""
    angled = "|".join(re.escape(mark) for mark in marks if mark[0] == "<")
    others = [re.escape(mark) for mark in marks if mark[0] != "<"]
    return "|".join([f"(?i:{angled})", *others])


_FOUND = re.compile(
    rf"(?P<mark>{_any_of(_ALL)})|(?P<fence>`{{3,}}|~{{3,}})|(?P<tick>`{{1,2}})|(?P<gap>\n\s*\n)"
)
_SUSPECT = re.compile(r"[<\[◁`~]")
"""What a mark or code begins with: most pieces have none of it."""
_RUN = re.compile(r"(`+|~+)\Z")
_GAP = re.compile(r"\n\s*\Z")


class _State(Enum):
    FIRST = auto()
    ANSWER = auto()
    THOUGHT = auto()
    HEADER = auto()


class ReasoningFilter:
    """Splits content into reasoning and answer, however it is cut.

    Reasoning that nothing opened (its opening mark was part of the prompt) is known only when it is closed:
    what was given as the answer until then is then `Misplaced`.
    """

    def __init__(self) -> None:
        self._state = _State.FIRST
        self._held = ""
        self._opened_by = ""
        self._closing = _HARMONY_ENDS
        self._thought: list[str] = []
        self._trims = False
        self._said = False
        self._shown = False
        self._final = False
        self._wrapper = ""
        self._quoted: set[str] = set()
        self._line_is_blank = True
        self._code = ""

    def feed(self, text: str) -> list[Told]:
        """The pieces that are certain once `text` has come."""
        plain = self._state is _State.ANSWER and not (self._held or self._trims or self._code)
        if plain and not _SUSPECT.search(text):
            self._shown = True
            return self._text(text) if self._line_is_blank or "\n" in text else [Text(text)]
        self._held += text
        return self._run(over=False)

    def flush(self, *, cut: bool = False) -> list[Told]:
        """What was held back, when nothing more comes.

        Args:
            cut: The reply met its bound. Else reasoning that began in the middle of the answer and was never
                closed was none: the answer spoke of the mark.
        """
        pieces = self._run(over=True)
        if self._state is _State.THOUGHT and self._said and not (self._closing is _HARMONY_ENDS or cut):
            pieces += self._text(self._opened_by + "".join(self._thought))
        return pieces

    def _run(self, *, over: bool) -> list[Told]:
        pieces: list[Told] = []
        steps = {
            _State.FIRST: self._first,
            _State.ANSWER: self._answer,
            _State.THOUGHT: self._think,
            _State.HEADER: self._header,
        }
        while steps[self._state](pieces, over):
            pass
        self._shown = self._shown or any(isinstance(piece, Text) for piece in pieces)
        return pieces

    def _first(self, _: list[Told], over: bool) -> bool:
        """The words that are marks only here; whether there is more to do."""
        begun = self._held.lstrip()
        for opening, closing in _SPOKEN.items():
            rest = begun[len(opening) :]
            if begun.startswith(opening) and (opening != "analysis" or rest[:1].isupper()):
                self._open(opening, closing, rest)
                return True
            if opening.startswith(begun) and not over:
                return False
        self._state = _State.ANSWER
        return True

    def _answer(self, pieces: list[Told], over: bool) -> bool:
        if self._trims and not self._trimmed(over):
            return False
        for found in _FOUND.finditer(self._held):
            if found.end() == len(self._held) and not (found["mark"] or over):
                break  # a longer run may be coming
            if found["mark"] and self._acts(found):
                if self._said or self._held[: found.start()].strip():
                    self._take(pieces, found.start())
                return self._act(pieces, found)
            self._pass_code(found)
        until = len(self._held) if over else len(self._held) - self._kept()
        if over or self._said or self._held[:until].strip():
            self._take(pieces, until)
        return False

    def _trimmed(self, over: bool) -> bool:
        """Blanks after reasoning are taken off, and what wraps the answer; whether the answer has begun."""
        self._held = self._held.lstrip()
        for opening, closing in _WRAPPERS.items():
            if self._held[: len(opening)].lower() == opening:
                self._held, self._wrapper = self._held[len(opening) :].lstrip(), closing
            elif opening.startswith(self._held.lower()) and not over:
                return False
        self._trims = not self._held
        return bool(self._held)

    def _acts(self, found: re.Match[str]) -> bool:
        """Whether the mark is one here: not in code, and not a document's own markup."""
        mark = found[0].lower()
        if self._code:
            return False
        if mark in _WRAPPERS.values():
            return mark == self._wrapper
        if mark in _ON_A_LINE_OF_ITS_OWN and not self._begins_line(found.start()):
            self._quoted.add(_ON_A_LINE_OF_ITS_OWN[mark])
            return False
        return mark not in self._quoted

    def _begins_line(self, at: int) -> bool:
        _, newline, line = self._held[:at].rpartition("\n")
        return not line.strip() and (bool(newline) or self._line_is_blank)

    def _act(self, pieces: list[Told], found: re.Match[str]) -> bool:
        """Do what a mark says; what came before it has been taken."""
        mark, rest, lower = found[0], found.string[found.end() :], found[0].lower()
        if lower in _OPENING:
            self._open(mark, _OPENING[lower], rest)
        elif lower in _HEADERS:
            self._state, self._held = _State.HEADER, mark + rest
        else:
            self._held = rest
            if lower in _CLOSING:
                self._close_late(pieces)
        return True

    def _open(self, mark: str, closing: str, rest: str) -> None:
        self._state, self._held, self._opened_by, self._thought = _State.THOUGHT, rest, mark, []
        self._closing = _pattern(closing)

    def _close_late(self, pieces: list[Told]) -> None:
        """What was the answer so far was reasoning."""
        pieces[:] = [
            Thought(piece.text) if isinstance(piece, Text) else piece
            for piece in pieces
            if not isinstance(piece, Text) or piece.text.strip()
        ]
        if self._shown:
            pieces.insert(0, Misplaced())
        self._shown = self._said = False
        self._trims = True

    def _think(self, pieces: list[Told], over: bool) -> bool:
        if not self._thought:
            begun = self._held.lstrip()
            self._opened_by += self._held[: len(self._held) - len(begun)]
            self._held = begun
        closed = self._closing.search(self._held)
        if closed is None:
            self._muse(pieces, len(self._held) - (0 if over else self._may_close()))
            return False
        self._muse(pieces, closed.start())
        self._trims = True
        if closed[0].lower() in _HEADERS:
            self._state = _State.HEADER
        else:
            self._state, self._held = _State.ANSWER, self._held[len(closed[0]) :]
        return True

    def _may_close(self) -> int:
        """Characters at the end of what is held that may begin the end of the reasoning."""
        if words := _SPOKEN.get(self._opened_by.rstrip()):
            return _words_held_back(self._held, words.lower())
        return _held_back(self._held)

    def _muse(self, pieces: list[Told], until: int) -> None:
        thought, self._held = self._held[:until], self._held[until:]
        if thought:
            self._thought.append(thought)
            pieces.append(Thought(thought))

    def _header(self, pieces: list[Told], over: bool) -> bool:
        """`<|start|>assistant<|channel|>final<|message|>`: whatever is not final is reasoning."""
        head, mark, rest = self._held.partition(_MESSAGE)
        if not mark and len(head) <= _LONGEST_HEADER:
            self._held = "" if over else self._held
            return False
        if not mark:  # no header at all
            self._state, self._held = _State.ANSWER, head.partition("|>")[2]
        elif _FINAL.search(head) or _CHANNEL not in head:
            if not self._final:
                self._close_late(pieces)
            self._state, self._held, self._final, self._trims = _State.ANSWER, rest, True, True
        else:
            self._open("", "", rest)
        return True

    def _take(self, pieces: list[Told], until: int) -> None:
        text, self._held = self._held[:until], self._held[until:]
        pieces += self._text(text)

    def _text(self, text: str) -> list[Told]:
        if not text:
            return []
        self._said = self._said or not text.isspace()
        _, newline, line = text.rpartition("\n")
        self._line_is_blank = not line.strip() and (bool(newline) or self._line_is_blank)
        return [Text(text)]

    def _kept(self) -> int:
        """Characters at the end of what is held that may begin a mark, or a longer run of backticks."""
        if run := _RUN.search(self._held):
            return len(run[0])
        if not self._code:
            return _held_back(self._held)
        gap = _GAP.search(self._held) if len(self._code) < _FENCE else None
        return len(gap[0]) if gap else 0

    def _pass_code(self, found: re.Match[str]) -> None:
        """A fence ends at one like it, a code span at as many backticks or at the end of its paragraph."""
        run = found[0]
        if found["fence"]:
            if not self._code:
                self._code = run
            elif run.startswith(self._code):
                self._code = ""
        elif found["tick"] and len(self._code) < _FENCE:
            self._code = "" if self._code == run else self._code or run
        elif found["gap"] and len(self._code) < _FENCE:
            self._code = ""


def _held_back(text: str) -> int:
    """Characters at the end of `text` that may begin a mark; none has a second character that begins one."""
    at = max(text.rfind("<"), text.rfind("["), text.rfind("◁"))
    return len(text) - at if at >= 0 and text[at:].lower() in _BEGINNINGS else 0


def _words_held_back(text: str, words: str) -> int:
    """Characters at the end of `text` that may begin `words`."""
    longest = min(len(text), len(words) - 1)
    return next((n for n in range(longest, 0, -1) if words.startswith(text[-n:].lower())), 0)


@lru_cache
def _pattern(closing: str) -> re.Pattern[str]:
    """What ends reasoning: its mark; of Harmony, whose marks are many, any."""
    return re.compile(re.escape(closing), re.IGNORECASE) if closing else _HARMONY_ENDS
