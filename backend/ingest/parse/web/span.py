"""Where the content of a web page lies: from the first to the last block that trafilatura takes.

trafilatura finds the content, and loses headings, rows and items on the way; so it only says where to look,
and every block between stays as our own writer wrote it. Where it finds next to nothing the whole page stays.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import trafilatura
from lxml import etree

from backend.ingest.parse.web.blocks import Written

_NO_LETTERS = re.compile(r"[\W_]+")
_SIGNATURE = 80
_TELLING = 25
"""Letters from which on text is not found elsewhere by chance; with 1, precision was .74 for .86."""
_WEAK = 200
_PAGE = 600
_LEAD = 1500
_TRAIL = 1000
_LINKS = 0.3
_ONLY_LINKS = 0.9


def content(root: etree._Element, written: Sequence[Written]) -> Sequence[Written]:
    """The blocks of `written` that are the content of the page `root`; the tree is spent afterwards."""
    letters = [_letters(one.block.text) for one in written]
    if sum(map(len, letters)) <= _PAGE:
        return written
    found = trafilatura.extract(root, favor_recall=True, include_comments=False) or ""
    signal = _Signal(_letters(found), frozenset(map(_letters, found.split("\n"))))
    if len(signal.letters) < _WEAK:
        return written
    hits = [number for number, one in enumerate(written) if signal.holds(one)]
    if not hits:
        return written
    first, last = _first(written, hits[0]), _last(written, hits[-1])
    taken = set(hits)
    return [written[n] for n in range(first, last + 1) if n in taken or not _is_menu(written[n])]


@dataclass(frozen=True, slots=True)
class _Signal:
    """What trafilatura took: all of its letters, and its lines."""

    letters: str
    lines: frozenset[str]

    def holds(self, one: Written) -> bool:
        """Whether a block is in it; of a list or a table, most lines."""
        rows = one.block.text.split("\n") if one.block.kind in ("list", "table") else [one.block.text]
        known = [row for row in map(_letters, rows) if row]
        return 2 * sum(map(self._has, known)) > len(known)

    def _has(self, letters: str) -> bool:
        return letters[:_SIGNATURE] in self.letters if len(letters) >= _TELLING else letters in self.lines


def _first(written: Sequence[Written], hit: int) -> int:
    """Where the content begins: at the page's own heading, else with the headings before its first block."""
    chars, number = 0, hit
    while number and chars <= _LEAD:
        number -= 1
        if written[number].block.level == 1:
            return number
        chars += len(written[number].block.text)
    while hit and written[hit - 1].block.kind == "heading":
        hit -= 1
    return hit


def _last(written: Sequence[Written], hit: int) -> int:
    """Where the content ends: a little text after its last block belongs to it, up to the first links."""
    chars, last = 0, hit
    for number in range(hit + 1, len(written)):
        one = written[number]
        chars += len(one.block.text)
        if chars > _TRAIL or one.linked_chars > _LINKS * len(one.block.text):
            break
        if one.block.kind != "heading":
            last = number
    return last


def _is_menu(one: Written) -> bool:
    """Whether a block is links and nothing else; headings and tables are none."""
    if one.block.kind in ("heading", "table"):
        return False
    return one.linked_chars > _ONLY_LINKS * len(one.block.text)


def _letters(text: str) -> str:
    return _NO_LETTERS.sub("", text.lower())
