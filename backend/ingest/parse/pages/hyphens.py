"""Words that a line end cut in two."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

from backend.ingest.parse.text import tidy

SOFT = "\u2010"
"""The hyphen of a line end where the file tells it from the hyphen of a word, "-"."""
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_CUT = re.compile(rf"([^\W\d_]+(?:-[^\W\d_]+)*)[-{SOFT}]$")
_REST = re.compile(r"^[^\W\d_]+(?:-[^\W\d_]+)*")
_BULLET = re.compile(r"^\s*([-•‣▪◦●–—*]|\d{1,3}[.)]|[a-z]\))\s+\S")
_SURE = frozenset(str.split("nous vous elle elles ils même mêmes delà dessus dessous dehors dedans être"))
_LIKELY = frozenset(str.split("je tu il on ce ci là moi toi lui leur les la le en y t vis"))
_BEFORE = frozenset(
    str.split("celui celle ceux celles vice non demi semi quelques self grand well quasi arrière")
)
_AFTER = frozenset(str.split("based driven specific defined aware oriented wide"))
_LEAST_SOFT = 3
_LONGEST_WORD = 100


class Mender:
    """Decides with the document's own words whether a hyphen at a line end belongs to the word.

    A word that the document writes elsewhere decides. Else it matters whether the document cuts words at all:
    many only break a line after a hyphen that is there, and some use another character for a cut.

    Args:
        lines: All lines of the document, cleaned; one that ends with `SOFT` ends with a cut word.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._words: Counter[str] = Counter()
        cut: list[tuple[str, str]] = []
        soft = 0
        for line, after in pairwise([*lines, ""]):
            words = _WORD.findall(line.lower())
            head, rest = _cut(line), _REST.match(after)
            self._words.update(words[:-1] if head else words)
            soft += line.endswith(SOFT)
            if head and rest:
                cut.append((head.group(1), rest.group()))
        self._tells_apart = soft >= _LEAST_SOFT and soft < len(cut)
        self._never_cuts = not soft and self._most_are_whole(cut)

    def join(self, lines: Sequence[str]) -> str:
        """The lines as one paragraph; items of a list keep their lines."""
        text = ""
        for line in lines:
            text = self._joined(text, line) if text else line
        return plain(tidy(text))

    def _most_are_whole(self, cut: Sequence[tuple[str, str]]) -> bool:
        """Whether the words at line ends that occur elsewhere are written with their hyphen there."""
        known = [known for head, rest in cut if (known := self._known(head, rest)) is not None]
        return sum(known) > 2 * (len(known) - sum(known))

    def _joined(self, text: str, line: str) -> str:
        if _BULLET.match(line):
            return f"{text}\n{line}"
        head, rest = _cut(text), _REST.match(line)
        if not head or not rest:
            return f"{text} {line}" if not text.endswith("/") else text + line
        keep = self._keeps_hyphen(head.group(1), rest.group(), soft=text.endswith(SOFT))
        return f"{text[:-1]}-{line}" if keep else text[:-1] + line

    def _known(self, head: str, rest: str) -> bool | None:
        """Whether the document writes the word with a hyphen; None if it does neither or both alike."""
        whole, hyphened = self._words[f"{head}{rest}".lower()], self._words[f"{head}-{rest}".lower()]
        return hyphened > whole if whole != hyphened else None

    def _keeps_hyphen(self, head: str, rest: str, *, soft: bool) -> bool:
        if (known := self._known(head, rest)) is not None:
            return known
        if self._tells_apart:
            return not soft
        return self._never_cuts or self._is_compound(head, rest)

    def _is_compound(self, head: str, rest: str) -> bool:
        if rest[0].isupper() or head.isupper():
            return not (rest.isupper() and head.isupper())
        last, first = head.lower().rsplit("-", 1)[-1], rest.lower().split("-", 1)[0]
        if first in _SURE or last in _BEFORE or (first in _AFTER and len(last) > 2):
            return True
        return first in _LIKELY and self._words[last] > 0


def _cut(line: str) -> re.Match[str] | None:
    """The word before the hyphen with which `line` ends."""
    return _CUT.search(line, max(0, len(line) - _LONGEST_WORD)) if line.endswith(("-", SOFT)) else None


def plain(text: str) -> str:
    """`text` with one kind of hyphen."""
    return text.replace(SOFT, "-")
