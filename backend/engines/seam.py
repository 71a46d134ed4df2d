"""Where new text joins an answer that broke off.

A model is shown the answer without its last words, and what it says is taken for the continuation only if it
begins by saying them again. Pure; the reasons are in docs/adr/0010.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

_BLANKS = re.compile(r"(?<=[\w,])[^\S\n]+(?=\S)")
"""Between two words of one line, in mid-sentence: after a full stop the answer might as well begin anew."""
_CLOSING = frozenset(",;.?)»")
_Match = Literal["open", "whole", "off"]


@dataclass(frozen=True, slots=True)
class Joined:
    """How a reply stands to the text already shown.

    Attributes:
        continued: `text` goes on from what was shown; else it is the beginning of a whole new answer.
    """

    continued: bool
    text: str


@dataclass(frozen=True, slots=True)
class Unclear:
    """The reply neither said the last words again nor is it plainly an answer from its beginning."""


def seam(partial: str) -> tuple[str, str]:
    """`partial` in two: what a model is shown, and the last words, which it must say again.

    The last words are the fewest that no answer begins with: they start with a small letter (or the bracket
    of a citation) in the middle of a sentence. Where there are none, the model is shown nothing.
    """
    for blank in reversed(list(_BLANKS.finditer(partial))):
        stem, tail = partial[: blank.start()], partial[blank.start() :]
        first = partial[blank.end()]
        if (first.islower() or first == "[") and not partial.lstrip().startswith(tail.lstrip()):
            return stem, tail
    return "", partial


class Joint:
    """Reads a reply piece by piece, and holds it back until it can be said how it joins `partial`.

    A continuation is known at the end of the last words, a repetition at the end of `partial`, anything else
    at its first character that differs. A blank lost or added before the first word does not count: the
    reader has already seen the blank that belongs there.

    Args:
        partial: What the reader has seen.
        stem: What the model was shown of `partial`; empty: nothing, so that it answers from the beginning.
    """

    def __init__(self, partial: str, stem: str = "") -> None:
        self._partial = partial.lstrip()
        self._stem = stem
        self._gap_and_tail = partial[len(stem) :]
        self._tail = self._gap_and_tail.lstrip()
        self._said = ""
        self._thought = False

    def feed(self, text: str) -> Joined | Unclear | None:
        """The answer's next piece; None: it cannot be said yet."""
        self._said += text
        begun = self._said.lstrip()
        repeats = _match(begun, self._partial)
        if repeats == "whole":
            return Joined(True, begun[len(self._partial) :])
        goes_on = _match(begun, self._tail) if self._stem else "off"
        if goes_on == "whole":
            return Joined(True, begun[len(self._tail) :])
        return self._diverged(begun) if goes_on == repeats == "off" else None

    def think(self, text: str) -> Joined | Unclear | None:
        """A piece of reasoning: with nothing shown, an answer from its beginning.

        Otherwise thinking was switched off, and some servers (vLLM with a reasoning parser) take a continued
        answer for reasoning because they never see it end: it is the answer if it says the last words again.
        """
        if not self._stem:
            return Joined(False, self._said)
        self._thought = True
        return self.feed(text)

    def misplaced(self) -> Joined | Unclear | None:
        """What was said so far was reasoning: with something shown of no use, else not the answer yet."""
        self._said = ""
        return Unclear() if self._stem else None

    def end(self) -> Joined | Unclear:
        """The reply is over."""
        begun = self._said.strip()
        if begun in (self._partial.rstrip(), self._tail.rstrip()):
            return Joined(True, "")
        return Unclear() if self._stem else Joined(False, self._said)

    def _diverged(self, begun: str) -> Joined | Unclear:
        if not self._stem:
            return Joined(False, self._said)
        if self._thought:
            return Unclear()
        if _words_shared(begun, self._partial) >= 2:
            return Joined(False, self._said)
        if _words_shared(begun, self._tail) or self._goes_on_otherwise(begun):
            return Joined(False, self._stem + self._blank_before(begun) + begun)
        return Unclear()

    def _goes_on_otherwise(self, begun: str) -> bool:
        """Whether the reply can only be the rest of a sentence, if in other words than those shown."""
        if begun[0] in _CLOSING:
            return not begun.startswith("..")
        return begun[0].islower() and len(begun) < len(self._said)

    def _blank_before(self, begun: str) -> str:
        if len(begun) < len(self._said):
            return self._said[: -len(begun)]
        return "" if begun[0] in _CLOSING else self._gap_and_tail[: -len(self._tail)]


def _match(said: str, text: str) -> _Match:
    """Whether `said` says all of `text`, may still come to, or does not."""
    if said.startswith(text):
        return "whole"
    return "open" if text.startswith(said) else "off"


def _words_shared(a: str, b: str) -> int:
    """Whole words that both begin with."""
    shared = 0
    for one, other in zip(re.finditer(r"\S+\s+", a), re.finditer(r"\S+\s+", b), strict=False):
        if one[0] != other[0]:
            break
        shared += 1
    return shared
