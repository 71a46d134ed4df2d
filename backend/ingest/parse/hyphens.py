"""Words that a line end cut in two."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from backend.ingest.parse.text import tidy

_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_CUT = re.compile(r"([^\W\d_]+(?:-[^\W\d_]+)*)-$")
_REST = re.compile(r"^[^\W\d_]+(?:-[^\W\d_]+)*")
_BULLET = re.compile(r"^\s*([-•‣▪◦●–—*]|\d{1,3}[.)]|[a-z]\))\s+\S")
_SURE = frozenset(str.split("nous vous elle elles ils même mêmes delà dessus dessous dehors dedans être"))
_LIKELY = frozenset(str.split("je tu il on ce ci là moi toi lui leur les la le en y t vis"))
_BEFORE = frozenset(
    str.split("celui celle ceux celles vice non demi semi quelques self grand well quasi arrière")
)


class Mender:
    """Decides with the document's own words whether a hyphen at a line end belongs to the word.

    Args:
        lines: All lines of the document, cleaned.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._words: Counter[str] = Counter()
        for line in lines:
            words = _WORD.findall(line.lower())
            self._words.update(words[:-1] if line.endswith("-") else words)

    def join(self, lines: Sequence[str]) -> str:
        """The lines as one paragraph; items of a list keep their lines."""
        text = ""
        for line in lines:
            text = self._joined(text, line) if text else line
        return tidy(text)

    def _joined(self, text: str, line: str) -> str:
        if _BULLET.match(line):
            return f"{text}\n{line}"
        head, rest = _CUT.search(text), _REST.match(line)
        if not head or not rest:
            return f"{text} {line}" if not text.endswith("/") else text + line
        keep = self._keeps_hyphen(head.group(1), rest.group())
        return (text if keep else text[:-1]) + line

    def _keeps_hyphen(self, head: str, rest: str) -> bool:
        whole, hyphened = f"{head}{rest}".lower(), f"{head}-{rest}".lower()
        if self._words[whole] != self._words[hyphened]:
            return self._words[hyphened] > self._words[whole]
        if rest[0].isupper() or head.isupper():
            return not (rest.isupper() and head.isupper())
        last, first = head.lower().rsplit("-", 1)[-1], rest.lower().split("-", 1)[0]
        return first in _SURE or last in _BEFORE or (first in _LIKELY and self._words[last] > 0)
