"""Books of Project Gutenberg: the licence around them is not part of the book."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from backend.ingest.base import Block

_START = re.compile(r"\*\*\*\s*START OF (?:THE|THIS) PROJECT GUTENBERG[^*]*\*\*\*", re.I)
_END = re.compile(r"(?:\*\*\*\s*)?END OF (?:THE |THIS )?PROJECT GUTENBERG", re.I)
_TITLE = re.compile(r"^Title: *(.+(?:\n(?![A-Z][\w ]*:).+)*)", re.M)
_CREDIT = re.compile(r"^(Produced by|E-text prepared by|Transcrib)", re.I)


def strip(blocks: Sequence[Block]) -> tuple[str, tuple[Block, ...]]:
    """The book's own title ("" where there is none) and its blocks without header, credits and licence."""
    start = next((i for i, block in enumerate(blocks) if _START.search(block.text)), None)
    if start is None:
        return "", tuple(blocks)
    header = "\n\n".join(block.text for block in blocks[: start + 1])
    title = match.group(1) if (match := _TITLE.search(header)) else ""
    book = [replace(blocks[start], text=_START.split(blocks[start].text)[-1].strip()), *blocks[start + 1 :]]
    end = next((i for i, block in enumerate(book) if _END.search(block.text)), None)
    if end is not None:
        last = replace(book[end], text=_END.split(book[end].text)[0].strip(" \n*"))
        book = [*book[:end], last]
    return title, tuple(b for i, b in enumerate(book) if b.text and not (i < 3 and _CREDIT.match(b.text)))
