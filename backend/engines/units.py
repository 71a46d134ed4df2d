"""A passage's text to what can be quoted of it: sentences, lists, rows of tables, code, short facts.

A passage holds blocks with a blank line between: paragraphs, lists of one item a line, code, tables of one
row a line (cells joined by " | ", the first line their header). What a block was is told by its lines.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Literal

from backend.engines.sentences import cut, is_begun, is_ended, is_question

Kind = Literal["sentence", "list", "table", "code"]

_BULLET: Final = re.compile(r"^\s*(?:[-–—•▪◦‣*·●○■□]|(?:\d{1,2}|[a-z])[.)])\s+(?=\S)")
_NUMBER: Final = re.compile(r"\s*\d{1,2}[.)]\s")
_CELL: Final = re.compile(r"(?:^|\s)\|(?=\s|$)")
_SHELL: Final = re.compile(r"\s*(?:[$>] \w|\w+ (?:[^|]*\s)?--?\w)")
_CODE: Final = re.compile(
    r"""[{}\\]$ | [)\]"'];$ | ^\s*(?:[$>]\ \w | \#! | // | ``` | "[^"]+": | </?\w)
    | ^\s*(?:import\ \w | from\ \w+\ import | def\ \w+\( | class\ \w+.*:$ | return\b | SELECT\ )
    | ^\s*\#\s | \w\([^()]*\);?$ | [=!]= | => | -> | :: | \s--?[a-zA-Z] | \w=\d | &&
    | ^\s*[\w.-]+=\S | ^\s*\w+\ =\ \S | ^\s*[\w-]+:$ | ^\ {2,}[\w.-]+:\ \S""",
    re.VERBOSE,
)
_PROSE_WORDS: Final = 8
_SPACE_BEFORE: Final = re.compile(r"\s+([.,)])")
_SEPARATED: Final = re.compile(r"(?<=\S)\s?[:=→]\s|\s[–—-]\s")
_VALUE: Final = re.compile(r"[\d@/]|\w\.\w{2}|^[a-zà-ÿ]")
_FACT: Final = re.compile(
    rf"(?:{_SEPARATED.pattern})\S|\d\s?(?:h\b|[€$£%]|:\d|[ap]\.?m\b)|(?:\d[\s.-]?){{6}}|\w@\w"
)
_FULL_LINE: Final = 60
_HEADING_CHARS: Final = 120
_SHORTEST: Final = 15


@dataclass(frozen=True, slots=True)
class Unit:
    """What is quoted together.

    Attributes:
        parts: The sentence; the items of a list; the rows of a table; the lines of code.
        lead: What the parts need to be understood: the line that introduces them, the header row.
        above: The heading or caption over them within the passage; not quoted with them.
        whole: Its parts are of no use alone: steps, code.
    """

    kind: Kind
    parts: tuple[str, ...]
    lead: str = ""
    above: str = ""
    whole: bool = False

    @property
    def is_block(self) -> bool:
        """Whether it stands on lines of its own."""
        return self.kind != "sentence"

    @property
    def text(self) -> str:
        """As one line of plain text."""
        parts = [_BULLET.sub("", part) for part in self.parts] if self.kind == "list" else self.parts
        joint = " ; " if self.kind in ("list", "table") else " "
        return " ".join(filter(None, (self.lead, *joint.join(parts).split())))

    @property
    def shown(self) -> str:
        """As Markdown."""
        if self.kind == "sentence":
            return self.text
        if self.kind == "table":
            return "\n".join((_row(self.lead), _rule(self.lead), *map(_row, self.parts)))
        lines = [self.lead] if self.lead else []
        if self.kind == "list":
            return "\n".join((*lines, *map(_item, self.parts)))
        fence = _fence(self.parts)
        return "\n".join((*lines, fence, *self.parts, fence))


def units(text: str) -> list[Unit]:
    """Everything of a passage that may be quoted, in order; headings and broken pieces are left out."""
    reader = _Reader()
    blocks = _blocks(text)
    for lines in blocks:
        reader.read(lines, last=lines is blocks[-1])
    return reader.found


class _Reader:
    """Reads blocks one after the other; knows what stands above."""

    def __init__(self) -> None:
        self.found: list[Unit] = []
        self._above = ""
        self._lead = ""

    def read(self, lines: list[str], *, last: bool) -> None:
        """One block."""
        if _is_table(lines):
            self._table(lines)
        elif _is_code(lines) or (self._lead.endswith(":") and _is_typed(lines)):
            self._code(lines)
        elif len(lines) == 1 and not last and _is_heading(lines[0]):
            self._heading(lines[0])
        else:
            for listed, run in groupby(_logical(lines), key=lambda line: _BULLET.match(line) is not None):
                (self._list if listed else self._prose)(list(run))

    def _add(self, kind: Kind, parts: Sequence[str], *, lead: str = "", whole: bool = False) -> None:
        self.found.append(Unit(kind, tuple(parts), lead, self._above, whole))
        self._lead = ""

    def _heading(self, line: str) -> None:
        """A question over its answer is quoted with it, another heading is not."""
        self._above, self._lead = line, line if is_question(line) else ""

    def _table(self, lines: list[str]) -> None:
        first = next(i for i, line in enumerate(lines) if _CELL.search(line))
        self._above = " ".join(lines[:first]) or self._lead or self._above
        self._add("table", lines[first + 1 :], lead=lines[first])

    def _code(self, lines: list[str]) -> None:
        """With the sentence that stands before it; what blank lines parted is put together again."""
        before = self.found[-1] if self.found and not self._lead else None
        lead = self._lead
        if before is not None and before.kind == "code":
            lines, lead = [*before.parts, "", *lines], before.lead
        elif before is not None and before.kind == "sentence":
            lead = before.text
        if before is not None and lead:
            self.found.pop()
        self._add("code", lines, lead=lead, whole=True)

    def _list(self, lines: list[str]) -> None:
        """A lone item is one only below the line that introduces it."""
        if len(lines) == 1 and lines[0].endswith(":"):
            self._lead = _BULLET.sub("", lines[0])
        elif len(lines) > 1 or self._lead:
            self._add("list", lines, lead=self._lead, whole=all(map(_NUMBER.match, lines)))
        elif is_ended(lines[0]):
            self._line(_BULLET.sub("", lines[0]))
        elif _NUMBER.match(lines[0]) and len(lines[0]) <= _HEADING_CHARS:
            self._heading(lines[0])

    def _prose(self, lines: list[str]) -> None:
        for line in self._unmarked(lines):
            self._line(line)

    def _unmarked(self, lines: list[str]) -> list[str]:
        """What is left when a list without bullets was taken: lines without an end, below an introduction."""
        introduced = next((i + 1 for i, line in enumerate(lines) if line.endswith(":")), len(lines))
        start = 0 if self._lead.endswith(":") else introduced
        stop = next((i for i in range(start, len(lines)) if is_ended(lines[i])), len(lines))
        if stop - start < 2:
            return lines
        for line in lines[:start]:
            self._line(line)
        self._add("list", lines[start:stop], lead=self._lead)
        return lines[stop:]

    def _line(self, line: str) -> None:
        if line.endswith(":"):
            *before, lead = cut(line)
            self._sentences(before)
            self._lead = lead
        elif is_ended(line):
            self._sentences(cut(line))
        elif _FACT.search(line) and is_begun(line):
            self._add("sentence", (line,))
        elif len(line) <= _HEADING_CHARS:
            self._heading(line)
        else:
            self._sentences([one for one in cut(line) if is_ended(one)])

    def _sentences(self, some: Sequence[str]) -> None:
        """A question is of use with what follows it only."""
        for one in some:
            if is_question(one):
                self._lead = one if len(one) <= _HEADING_CHARS else ""
            elif is_begun(one) and (self._lead or not self.found or _is_long(one)):
                self._add("sentence", (one,), lead=self._lead)
            else:
                self._lead = ""


def _is_long(sentence: str) -> bool:
    return len(sentence) >= _SHORTEST and sentence.count(" ") >= 2


def _blocks(text: str) -> list[list[str]]:
    blocks = re.split(r"\n[^\S\n]*\n", text)
    return [lines for block in blocks if (lines := [ln.rstrip() for ln in block.split("\n") if ln.strip()])]


def _is_table(lines: Sequence[str]) -> bool:
    """A header and rows below it, perhaps a caption above."""
    cells = [len(_CELL.findall(line)) for line in lines]
    first = next((i for i, count in enumerate(cells) if count), len(lines))
    return len(lines) - first > 1 and all(cells[first:]) and not _SHELL.match(lines[first])


def _is_code(lines: Sequence[str]) -> bool:
    """Whether most lines are of a kind that only code has, and none is a sentence or an item."""
    if any(_BULLET.match(line) or (is_ended(line) and line.count(" ") >= _PROSE_WORDS) for line in lines):
        return False
    marked = sum(_CODE.search(line) is not None for line in lines)
    return 2 * marked > len(lines) or (marked > 0 and _is_typed(lines))


def _is_typed(lines: Sequence[str]) -> bool:
    """Whether lines below an introduction are meant to be typed: none begins or ends as a sentence does."""
    return not any(is_begun(line) or is_ended(line) or _BULLET.match(line) for line in lines)


def _is_heading(line: str) -> bool:
    """Whether a line that stands alone over something is its heading, and no fact."""
    if len(line) > _HEADING_CHARS or (is_ended(line) and not is_question(line)) or line.endswith(":"):
        return False
    value = _SEPARATED.search(line)
    fact = _VALUE.search(line[value.end() :]) if value else _FACT.search(line)
    return not fact and not _BULLET.match(line)


def _logical(lines: Sequence[str]) -> list[str]:
    """Lines that a margin broke put together again."""
    found: list[str] = []
    for raw in lines:
        item = _BULLET.match(raw) is not None
        line = raw.rstrip() if item else _tidy(raw)
        if found and not item and _goes_on(found[-1], raw, line):
            found[-1] += " " + line
        else:
            found.append(line)
    return found


def _goes_on(before: str, raw: str, line: str) -> bool:
    if before[-1] in ";," or (_BULLET.match(before) and raw[:1] in " \t" and not is_ended(before)):
        return True
    if before[-1] == ":" or is_ended(before):
        return False
    return line[0].islower() or len(before) >= _FULL_LINE


def _tidy(line: str) -> str:
    return _SPACE_BEFORE.sub(r"\1", " ".join(line.split())).replace("( ", "(")


def _item(line: str) -> str:
    if _BULLET.match(line):
        indent = len(line) - len(line.lstrip())
        mark = _NUMBER.match(line)
        return line if mark else " " * indent + "- " + _BULLET.sub("", line)
    return "- " + line


def _fence(lines: Sequence[str]) -> str:
    """Longer than any in the code."""
    runs = re.findall("`+", "\n".join(lines))
    return "`" * max(3, 1 + max(map(len, runs), default=0))


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in _CELL.split(row)]


def _row(row: str) -> str:
    return "| " + " | ".join(_cells(row)) + " |"


def _rule(row: str) -> str:
    return "|" + "---|" * len(_cells(row))
