"""Plain text: paragraphs, headings that can be told, lines that were wrapped by hand."""

from __future__ import annotations

import re
from dataclasses import replace
from statistics import mean

from backend.ingest.base import Block, BlockKind
from backend.ingest.parse import gutenberg
from backend.ingest.parse.document import Document, sane_title, told
from backend.ingest.parse.text import BAD, clean, decode, squeeze, tidy
from backend.ingest.parse.web.blobs import without_blobs

_UNDERLINE = re.compile(r"^(={3,}|-{3,}|~{3,}|\*{3,})$")
_RULE = re.compile(r"^[\W_]+$")
_BULLET = re.compile(r"^\s*([-*•–—]|\d{1,3}[.)])\s+\S")
_WRAP = range(50, 100)
_HEADING_CHARS = 80
_TITLE_CHARS = 120


def read(data: bytes) -> Document:
    """The document in a plain text file.

    Raises:
        UnreadableDocument: It is not text.
    """
    decoded = decode(data)
    document = from_text(clean(decoded))
    return replace(document, notes=(*document.notes, *told(characters_replaced=decoded.count(BAD))))


def from_text(text: str) -> Document:
    """The document in a clean text."""
    text = text.expandtabs(4)
    paragraphs = [p.strip("\n") for p in re.split(r"\n[ \t]*\n", text) if p.strip()]
    wrapped = _hard_wrapped(paragraphs)
    blocks = [block for p in paragraphs for block in _blocks(p.split("\n"), wrapped)]
    blocks_alone, blobs = without_blobs(blocks)
    title, kept = gutenberg.strip(blocks_alone)
    kept = _with_title(kept)
    named = sane_title(kept[0].text) if kept and kept[0].kind == "heading" else ""
    return Document(sane_title(title) or named, kept, told(data_skipped=blobs))


def _hard_wrapped(paragraphs: list[str]) -> bool:
    """Whether a line end inside a paragraph means nothing: most are where a margin would be."""
    inner = [len(line.rstrip()) for p in paragraphs for line in p.split("\n")[:-1]]
    if len(inner) < 3:
        return False
    return sum(length in _WRAP for length in inner) > 0.6 * len(inner) and max(inner) < 2 * _WRAP.stop


def _blocks(lines: list[str], wrapped: bool) -> list[Block]:
    """The headings that a paragraph begins with, each underlined, and the rest of it."""
    headings = []
    while len(lines) > 1 and _UNDERLINE.match(lines[1].strip()) and len(lines[0]) <= _HEADING_CHARS:
        headings.append(Block("heading", squeeze(lines[0]), 1 if lines[1].strip()[0] in "=*" else 2))
        lines = lines[2:]
    return [*headings, *_rest(lines, wrapped)]


def _rest(lines: list[str], wrapped: bool) -> list[Block]:
    if all(_RULE.match(line.strip()) for line in lines):
        return []
    if len(lines) == 1 and _looks_like_heading(lines[0].strip()):
        return [Block("heading", squeeze(lines[0]), 2)]
    return [Block(_kind(lines), _joined(lines, wrapped))]


def _looks_like_heading(line: str) -> bool:
    return len(line) <= _HEADING_CHARS and line.isupper() and line[-1] not in ",;"


def _kind(lines: list[str]) -> BlockKind:
    return "list" if sum(bool(_BULLET.match(line)) for line in lines) > len(lines) / 2 else "paragraph"


def _joined(lines: list[str], wrapped: bool) -> str:
    """The lines of a paragraph; verses, lists and addresses keep theirs."""
    verse = len(lines) > 1 and (mean(map(len, lines[:-1])) < _WRAP.start or all(x[:1] == " " for x in lines))
    if not wrapped or verse:
        return tidy("\n".join(lines))
    text = lines[0].strip()
    for line in lines[1:]:
        text += ("\n" if _BULLET.match(line) else " ") + line.strip()
    return tidy(text)


def _is_title(blocks: tuple[Block, ...]) -> bool:
    return bool(blocks) and "\n" not in blocks[0].text and len(blocks[0].text) <= _TITLE_CHARS


def _with_title(blocks: tuple[Block, ...]) -> tuple[Block, ...]:
    """The first line as a heading of level 1, if it stands alone and reads like a title."""
    if (
        len(blocks) > 1
        and _is_title(blocks)
        and blocks[0].kind == "paragraph"
        and blocks[0].text[-1] not in ".,;:"
    ):
        return (Block("heading", blocks[0].text, 1), *blocks[1:])
    return blocks
