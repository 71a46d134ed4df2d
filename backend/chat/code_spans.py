"""Where code is in Markdown that is still being written.

Source: CommonMark 0.31, sections 4.4 (indented code), 4.5 (fences) and 6.1 (code spans). Whether a run of
backticks is ever closed cannot be known beforehand: until its paragraph ends, what follows counts as code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_KEPT = 200
"""Characters of a line that are looked at; what opens or closes a block stands at its beginning."""

_QUOTE = re.compile(r"(?: {0,3}> ?)+")
_MARKER = re.compile(r"(?P<indent>\s*)(?:[-+*]|\d{1,9}[.)])(?P<gap>\s+|\Z)")
_FENCE = re.compile(r"(?:\s|>|[-+*]\s|\d{1,9}[.)]\s)*(?P<run>`{3,}|~{3,})(?P<info>.*)", re.DOTALL)
_HEADING = re.compile(r"\s{0,3}#{1,6}(?:\s|\Z)")
_TICKS = re.compile("`+|\n")


@dataclass(slots=True)
class CodeSpans:
    """Reads text piece by piece, cut anywhere, and tells whether what comes next is code.

    Attributes:
        span: Number of the latest code span, from 1.
        broken: Numbers of spans that turned out to be none: their paragraph ended before they were closed.
    """

    span: int = 0
    broken: set[int] = field(default_factory=set)
    _line: str = ""
    _settled: bool = False
    _fence: str = ""
    _quoted: bool = False
    _open: int = 0
    _ticks: int = 0
    _escaped: bool = False
    _after_blank: bool = True
    _indented: bool = False
    _list_indent: int | None = None

    def see(self, text: str) -> None:
        """Go on behind `text`."""
        if "`" not in text and "\n" not in text:
            self._plain(text)
            return
        at = 0
        for found in _TICKS.finditer(text):
            self._plain(text[at : found.start()])
            at = found.end()
            if found[0] == "\n":
                self._end_line()
            else:
                self._line = (self._line + found[0])[:_KEPT] if len(self._line) < _KEPT else self._line
                self._ticks += len(found[0])
        self._plain(text[at:])

    def is_code(self) -> bool:
        """Whether what comes next, other than a backtick or a line's end, is code."""
        self._close_run()
        self._settle(ahead=True)
        return bool(self._fence or self._indented or self._open)

    def is_span(self) -> bool:
        """Whether that is a code span, which may turn out to be none."""
        return self.is_code() and not self._fence and not self._indented

    def end(self) -> None:
        """No more text comes."""
        self._close_run()
        self._end_paragraph()

    def _plain(self, text: str) -> None:
        if not text:
            return
        if self._ticks:
            self._close_run()
        if len(self._line) < _KEPT:
            self._line = (self._line + text)[:_KEPT]
        if text[-1] != "\\":
            self._escaped = False
            return
        backslashes = len(text) - len(text.rstrip("\\"))
        self._escaped = (backslashes % 2 == 1) ^ (self._escaped and backslashes == len(text))

    def _close_run(self) -> None:
        """A run of backticks has come to its end."""
        run, self._ticks = self._ticks, 0
        if not run:
            return
        self._settle()
        if self._fence or self._indented:
            return
        if not self._open:
            self._open = run - 1 if self._escaped else run
            self.span += 1
        elif self._open == run:
            self._open = 0
        self._escaped = False

    def _settle(self, *, ahead: bool = False) -> None:
        """What block the line is in, once its first mark is there, or is what comes next (`ahead`)."""
        if self._settled or not (ahead or self._line.strip()):
            return
        self._settled = True
        line = _QUOTE.sub("", self._line, count=1)
        if self._fence:
            if self._quoted and line == self._line:
                self._fence = ""  # the quotation that it stood in has ended
            return
        self._settle_prose(line)

    def _settle_prose(self, line: str) -> None:
        indent = _width(line)
        marker = _MARKER.match(line)
        deep = indent >= 4 + (self._list_indent or 0)
        if deep and (self._after_blank or self._indented):
            self._indented = True
            return
        self._indented = False
        if marker:
            self._list_indent = _width(marker["indent"]) + len(marker[0].strip()) + 1
        elif self._after_blank and indent == 0:
            self._list_indent = None
        if marker or _HEADING.match(line):
            self._end_paragraph()

    def _end_line(self) -> None:
        self._close_run()
        self._settle()
        line = self._line
        self._line, self._settled, self._escaped = "", False, False
        if not line.strip(" \t>"):
            if not self._fence:
                self._end_paragraph()
                self._after_blank = True
            return
        self._after_blank = False
        self._fence_line(line)

    def _fence_line(self, line: str) -> None:
        found = _FENCE.fullmatch(line)
        if self._fence:
            closes = found and found["run"].startswith(self._fence) and not found["info"].strip()
            if closes:
                self._fence = ""
        elif found and not self._indented and not (found["run"][0] == "`" and "`" in found["info"]):
            self._end_paragraph()
            self._fence = found["run"]
            self._quoted = bool(_QUOTE.match(line))

    def _end_paragraph(self) -> None:
        if self._open:
            self._open = 0
            self.broken.add(self.span)


def _width(text: str) -> int:
    """Columns of blanks before the first mark; a tab ends at every fourth."""
    blanks = text[: len(text) - len(text.lstrip(" \t"))]
    return len(blanks.expandtabs(4))
