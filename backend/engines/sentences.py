"""Text to whole, readable sentences, for French and English."""

from __future__ import annotations

import re

# pysbd 0.3.4 and sentencex 1.0.32 were tried: pysbd cuts after "Mme.", sentencex even after
# "M." in "M. Dupont".
_TITLES = (
    "m mm mme mmes mlle mlles mgr dr pr st ste mr mrs ms messrs prof gen capt lt sgt rev hon cf av apr vs"
)
_BEFORE_NUMBERS = """p pp art al vol chap fig éd ed n no nos réf ref sect ca approx env
    jan feb mar apr jun jul aug sep sept oct nov dec janv févr avr juil déc"""
_BEFORE_NAMES = frozenset(_TITLES.split())
_BEFORE_DIGITS = frozenset(_BEFORE_NUMBERS.split())
_END = re.compile(r"(?:[.!?]+|…)(?:[\"”’)\]]|[\s\u00a0\u202f]?»)*(?=\s|$)")
_WORD_BEFORE = re.compile(r"([^\s(«\"“']+)$")
_ACRONYM = re.compile(r"(?:[A-ZÀ-Þ]\.-?)+[A-ZÀ-Þ]")
_BULLET = re.compile(r"^\s*(?:[-–—•▪◦‣*·●○■□]|\d{1,2}[.)]|[a-z]\))\s+")
_SPACE_BEFORE = re.compile(r"\s+([.,)])")
_OPENING = "«\"“(['‘-–—"
_MAX_QUOTED = 300
_FULL_LINE = 60


def sentences(text: str) -> list[str]:
    """The whole sentences of `text`, in order, each on one line and ended by punctuation.

    Headings, lone list items and pieces of tables are left out; the items of a list come with the line
    that introduces it.
    """
    found = []
    for block in _blocks(text):
        found += [one for one in _split(block) if _is_whole(one)]
    return found


def _blocks(text: str) -> list[str]:
    """Lines put together again: wrapped lines, and lists under the line that introduces them."""
    blocks: list[str] = []
    before, listing = "", False
    for raw in text.splitlines():
        item = _BULLET.match(raw) is not None
        line = _tidy(_BULLET.sub("", raw))
        listing = listing or before.endswith(":")
        joint = _joint(before, line, item=item, listing=listing) if before and line else None
        if joint is None:
            if listing:
                blocks[-1] = _ended(blocks[-1])
            blocks.append(line)
            listing = False
        else:
            blocks[-1] += joint + line
        before = line
    return [_ended(block) if listing and block is blocks[-1] else block for block in blocks if block]


def _tidy(line: str) -> str:
    line = _SPACE_BEFORE.sub(r"\1", " ".join(line.split()))
    return line.replace("( ", "(")


def _joint(before: str, line: str, *, item: bool, listing: bool) -> str | None:
    """What goes between two lines; None: they do not belong together."""
    if before[-1] in ":;,":
        return " "
    if before[-1] in ".!?…»":
        return None
    if listing and (item or line[0].isupper()):
        return None if line[-1] in ".!?…" and not item else " ; "
    if not item and (line[0].islower() or len(before) >= _FULL_LINE):
        return " "
    return None


def _ended(block: str) -> str:
    return block if block[-1] in ".!?…:" else block.rstrip(" ,;") + "."


def _split(block: str) -> list[str]:
    found, start = [], 0
    for end in _END.finditer(block):
        if _is_boundary(block, start, end):
            found.append(block[start : end.end()].strip())
            start = end.end()
    rest = block[start:].strip()
    return [*found, rest] if rest else found


def _is_boundary(block: str, start: int, end: re.Match[str]) -> bool:
    following = block[end.end() :].lstrip()
    if not following:
        return True
    first = following.lstrip(_OPENING + " \u00a0\u202f")[:1]
    if first.islower():
        return False
    so_far = block[start : end.end()]
    if len(so_far) < _MAX_QUOTED and (_is_open(so_far, "«", "»") or _is_open(so_far, "(", ")")):
        return False
    return end.group() != "." or not _is_abbreviation(block[start : end.start()], first)


def _is_open(text: str, opening: str, closing: str) -> bool:
    return text.count(opening) > text.count(closing)


def _is_abbreviation(before: str, following: str) -> bool:
    match = _WORD_BEFORE.search(before)
    word = match.group(1) if match else ""
    if (len(word) == 1 and word.isupper()) or _ACRONYM.fullmatch(word):
        return following.isupper()
    word = word.lower()
    return word in _BEFORE_NAMES or (word in _BEFORE_DIGITS and following.isdigit())


def _is_whole(sentence: str) -> bool:
    ended = re.sub(r"[\s\u00a0\u202f\"”’)\]»]+$", "", sentence)[-1:] in ".!?…"
    begun = not sentence.lstrip(_OPENING + " \u00a0\u202f")[:1].islower()
    return begun and ended and len(sentence) >= 15 and sentence.count(" ") >= 2
