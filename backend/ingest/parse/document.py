"""What the reader of one format gives."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

from backend.core.types import NoteCode
from backend.ingest.base import About, Block, Note
from backend.ingest.parse.text import squeeze

MAX_TITLE_CHARS = 200
_GENERATED = re.compile(
    r"(?i)^(untitled|sans titre|document\s*\d*|microsoft word\b.*|.*\.(docx?|odt|tex|indd|pdf))$"
)


@dataclass(frozen=True, slots=True)
class Document:
    """Title, "" where the file has none, and blocks in reading order."""

    title: str
    blocks: tuple[Block, ...]
    notes: tuple[Note, ...] = ()
    about: About = field(default_factory=About)


def told(**counts: int) -> tuple[Note, ...]:
    """A note for each code that was counted at all."""
    return tuple(Note(cast(NoteCode, code), count) for code, count in counts.items() if count)


def sane_title(text: str) -> str:
    """`text` as one line if a person could have written it as a title, else ""."""
    text = squeeze(text)
    letters = sum(char.isalpha() for char in text)
    if letters < 1 or letters < len(text) / 3 or _GENERATED.match(text):
        return ""
    return text if len(text) <= MAX_TITLE_CHARS else text[:MAX_TITLE_CHARS].rsplit(" ", 1)[0] + "…"


def first_heading(blocks: tuple[Block, ...] | list[Block]) -> str:
    """Text of the first heading of the highest level, "" without headings."""
    headings = [block for block in blocks if block.kind == "heading"]
    return sane_title(min(headings, key=lambda block: block.level).text) if headings else ""


def summed(notes: Iterable[Note]) -> tuple[Note, ...]:
    """One note for each code, from those of a document's parts."""
    found: dict[str, Note] = {}
    for note in notes:
        before = found.get(note.code)
        found[note.code] = Note(note.code, note.count + before.count) if before else note
    return tuple(found.values())
