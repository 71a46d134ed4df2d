"""Where new text joins an answer that broke off.

A model is shown the answer without its last words, and what it says is taken for the continuation only if it
begins by saying them again. Pure; the reasons are in docs/adr/0010.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

_SENTENCE_ENDS = re.compile("[.!?:…。！？：؟।॥۔]['\"’”»)\\]*_`]*$")
_MID_SENTENCE, _MID_LINE, _AT_A_START = 12, 16, 30
"""How much the last words must weigh: the likelier it is that an answer begins there, the more."""
_ONLY_WORDS = 5
"""The same where so little was shown that no last words weigh enough."""
_FAR = 300
"""More characters of last words than this are avoided by a seam between two words without a blank."""
_IDEOGRAPH = 3
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3005-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"  # Japanese, Chinese
)
"""Scripts without blanks between words."""
_CLINGS = re.compile(
    "[\u0e30\u0e32\u0e33\u0e45\u0eb0\u0eb2\u0eb3\u200c\u200d\ufe00-\ufe0f\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]"
)
"""Drawn with the character before it, though it is no mark; `_LEADS`: with the one after it."""
_LEADS = re.compile("[\u0e40-\u0e44\u0ec0-\u0ec4\u1039\u17d2\u200d]")
_Cut = tuple[int, int]
"""A place, and how much the text after it must weigh."""
_Match = Literal["open", "whole", "off"]


@dataclass(frozen=True, slots=True)
class Joined:
    """How a reply stands to the text already shown.

    Attributes:
        continued: `text` goes on from what was shown; else it is the beginning of a whole new answer.
        retold: It goes on after all that was shown was said again from the start.
    """

    continued: bool
    text: str
    retold: bool = False


@dataclass(frozen=True, slots=True)
class Unclear:
    """The reply does not prove itself a continuation."""


def seam(partial: str, beginnings: Sequence[str] = ()) -> tuple[str, str]:
    """`partial` in two: what a model is shown, and the last words, which it must say again.

    The last words are the fewest that nobody begins with by chance: long enough for where they start, and
    not as `partial` or one of `beginnings` starts. Where there are none, the model is shown nothing.

    Args:
        partial: What the reader has seen.
        beginnings: What a model might say instead, such as the question.
    """
    starts = tuple(text.lstrip() for text in (partial, *beginnings))
    stem = next(_found(partial, _blanks(partial), starts), "")
    if not stem or len(partial) - len(stem) > _FAR:
        stem = max(stem, next(_found(partial, _word_ends(partial), starts), ""), key=len)
    stem = stem or _first_word(partial, starts)
    return (stem, partial[len(stem) :]) if stem else ("", partial)


def _found(partial: str, cuts: Iterable[_Cut], starts: Sequence[str]) -> Iterator[str]:
    """What may be shown, the longest first."""
    for cut, needed in cuts:
        tail = partial[cut:].lstrip()
        if _weighs(tail, needed) and not any(start.startswith(tail) for start in starts):
            yield partial[:cut]


def _blanks(partial: str) -> Iterator[_Cut]:
    """The places before a blank, and between two characters of a script without blanks; last first."""
    following = len(partial.rstrip()) - 1
    for at in range(following, 0, -1):
        if not partial[at].isspace():
            following = at
            if _between_words(partial[at - 1], partial[at]):
                yield at, _MID_LINE
        elif not partial[at - 1].isspace():
            yield at, _needed(partial, at, following)


def _word_ends(partial: str) -> Iterator[_Cut]:
    """The places between a letter and a sign, last first."""
    for at in range(len(partial) - 1, 0, -1):
        before, after = partial[at - 1], partial[at]
        blank = before.isspace() or after.isspace()
        if before.isalnum() != after.isalnum() and not blank and not _drawn_as_one(before, after):
            yield at, _AT_A_START


def _needed(partial: str, start: int, end: int) -> int:
    if "\n" in partial[start:end] or _SENTENCE_ENDS.search(partial, max(0, start - 8), start):
        return _AT_A_START
    before, first = partial[start - 1], partial[end]
    small = first.islower() or first == "["
    return _MID_SENTENCE if small and (before.isalnum() or before in "_,") else _MID_LINE


def _between_words(before: str, after: str) -> bool:
    """Whether a word of a script without blanks may begin there."""
    if not _UNSPACED.match(after) or _drawn_as_one(before, after):
        return False
    return bool(_UNSPACED.match(before)) or before in "、，；"


def _drawn_as_one(before: str, after: str) -> bool:
    return bool(_LEADS.match(before)) or _clings(after)


def _clings(character: str) -> bool:
    return unicodedata.category(character).startswith("M") or bool(_CLINGS.match(character))


def _first_word(partial: str, starts: Sequence[str]) -> str:
    """The first word, if what follows it is the middle of a sentence and more than a few letters."""
    for cut, needed in list(_blanks(partial))[-1:]:
        if needed == _MID_SENTENCE:
            return next(_found(partial, [(cut, _ONLY_WORDS)], starts), "")
    return ""


def _weighs(text: str, enough: int) -> bool:
    """Whether nobody says `text` by chance: its length in letters, a row of equal ones being one."""
    weight, last = 0, ""
    for character in text:
        if character != last and not character.isspace() and not _clings(character):
            wide = unicodedata.east_asian_width(character) in "WF" and character.isalnum()
            weight += _IDEOGRAPH if wide else 1
            if weight >= enough:
                return True
        last = character
    return False


class Joint:
    """Reads a reply piece by piece, and holds it back until it can be said how it joins `partial`.

    A continuation is known at the end of the last words, a repetition at the end of `partial`, anything else
    at its first character that differs. A blank lost or added before the first word does not count: the
    reader has already seen the blank that belongs there.

    Args:
        partial: What the reader has seen.
        stem: What the model was shown of `partial`; empty: nothing, so that it answers from the beginning.
        shown: How `stem` was written for the model, if otherwise.
        may_repeat: There is room for saying all of `partial` again.
    """

    def __init__(
        self, partial: str, stem: str = "", *, shown: str | None = None, may_repeat: bool = True
    ) -> None:
        self._exactly, self._partial = partial, partial.lstrip()
        self._tail = partial[len(stem) :].lstrip() if stem else ""
        told = stem if shown is None else shown
        self._repeated = {self._partial, (told + partial[len(stem) :]).lstrip()}
        self._may_repeat = may_repeat
        self._said = ""

    def feed(self, text: str) -> Joined | Unclear | None:
        """The answer's next piece; None: it cannot be said yet."""
        self._said += text
        begun = self._said.lstrip()
        if self._said.startswith(self._exactly):
            return Joined(True, self._said[len(self._exactly) :], retold=True)
        if not begun:
            return None
        matches = {told: _match(begun, told) for told in self._repeated}
        for told, match in matches.items():
            if match == "whole":
                return Joined(True, begun[len(told) :], retold=True)
        goes_on = _match(begun, self._tail) if self._tail else "off"
        if goes_on == "whole":
            return Joined(True, begun[len(self._tail) :])
        repeats = "open" in matches.values() and self._may_repeat
        return None if repeats or goes_on == "open" else self._diverged()

    def think(self, text: str) -> Joined | Unclear | None:
        """A piece of reasoning: with nothing shown, an answer from its beginning.

        Otherwise thinking was switched off, and some servers (vLLM with a reasoning parser) take a continued
        answer for reasoning because they never see it end: it is the answer if it says the last words again.
        """
        if self._tail or not text.strip():
            return self.feed(text)
        return Joined(False, self._said)

    def misplaced(self) -> None:
        """What was said so far was reasoning: whether it goes on is for what follows to show."""
        self._said = ""

    def end(self, *, cut: bool = False) -> Joined | Unclear:
        """The reply is over; `cut`: by the bound of its length."""
        begun = self._said.strip()
        if any(begun == told.rstrip() for told in self._repeated):
            return Joined(True, "", retold=True)
        if self._tail and begun == self._tail.rstrip():
            return Joined(True, "")
        if cut and not self._tail and self._partial.startswith(begun):
            return Joined(True, "", retold=True)
        return self._diverged()

    def _diverged(self) -> Joined | Unclear:
        return Unclear() if self._tail else Joined(False, self._said)


def _match(said: str, text: str) -> _Match:
    """Whether `said` says all of `text`, may still come to, or does not."""
    if said.startswith(text):
        return "whole"
    return "open" if text.startswith(said) else "off"
