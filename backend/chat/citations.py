"""Citations in a stream of text: `[n]` that names a source is kept and counted, any other is removed."""

from __future__ import annotations

import re

_NUMBER, _COMMA = r"\d{1,3}", r"\s{0,2}[,;]\s{0,2}"
_MARK = re.compile(rf"[ \t]?\[({_NUMBER}(?:{_COMMA}{_NUMBER}){{0,15}})\]")
# What may still become one. `\Z`, because `$` also stands before a last line break, and would hold it back.
_OPEN = re.compile(rf"[ \t]?(?:\[(?:{_NUMBER}{_COMMA}){{0,15}}(?:{_NUMBER}\s{{0,2}})?)?\Z")


class CitationFilter:
    """Feeds text through, piece by piece; holds back only what may still become a citation.

    Args:
        sources: Numbers 1 to `sources` name a source.

    Attributes:
        sources: May change while text is fed.
    """

    def __init__(self, sources: int) -> None:
        self.sources = sources
        self._held = ""
        self.cited: set[int] = set()

    def feed(self, text: str) -> str:
        """What may be shown now; at most a blank and the beginning of a citation stay back."""
        text = self._held + text
        match = _OPEN.search(text)
        cut = match.start() if match else len(text)
        self._held = text[cut:]
        return _MARK.sub(self._checked, text[:cut])

    def rest(self) -> str:
        """What was held back, once no more text comes."""
        held, self._held = self._held, ""
        return held

    def _checked(self, match: re.Match[str]) -> str:
        numbers = [int(number) for number in re.split(r"[,;]", match[1])]
        known = [number for number in numbers if 1 <= number <= self.sources]
        self.cited.update(known)
        if not known:
            return ""
        lead = match[0][: match[0].index("[")]
        return lead + "".join(f"[{number}]" for number in known)
