"""Builds blocks from the elements of a page, in the order in which they open, fill and close."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from backend.ingest.base import Block, BlockKind
from backend.ingest.parse.text import squeeze, tidy
from backend.ingest.parse.web.grid import Grid

_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_LISTS = frozenset(("ul", "ol", "dl", "menu"))
_ITEMS = frozenset(("li", "dt", "dd"))
_CELLS = frozenset(("td", "th"))
_INLINE = frozenset(
    str.split(
        "a abbr acronym b bdi bdo big cite code data del dfn em font i img ins kbd label mark nobr q rp "
        "rt ruby s samp small span strike strong sub sup time tt u var wbr"
    )
)
_IN_LINE_OBJECTS = frozenset(
    ("svg", "picture", "button", "input", "select", "textarea", "audio", "video", "script")
)
_ROW_GROUPS = frozenset(("thead", "tbody", "tfoot"))
_SPACE = re.compile(r"\s+")
_IN_PAGE_SHARE = 0.9
_MAX_INDENT = 20


@dataclass(frozen=True, slots=True)
class Written:
    """A block and how many of its characters are links."""

    block: Block
    linked_chars: int


class BlockWriter:
    """Elements in, blocks out. Lists become one block of lines, tables one block of rows."""

    def __init__(self) -> None:
        self._written: list[Written] = []
        self._inline: list[str] = []
        self._lines: list[str] = []
        self._lists: list[int | None] = []
        self._bullet = ""
        self._table: Grid | None = None
        self._pre = self._quotes = self._heading = self._links = self._in_page = 0
        self._linked_chars = self._in_page_chars = self._list_chars = 0

    def text(self, value: str | None) -> None:
        """Text between elements."""
        if not value:
            return
        self._inline.append(value if self._pre else _SPACE.sub(" ", value))
        if self._links:
            self._linked_chars += len(value)
        if self._in_page and self._lists:
            self._in_page_chars += len(value)

    def gap(self, tag: str) -> None:
        """An element that was left out; a block one still ends the paragraph."""
        if tag not in _INLINE and tag not in _IN_LINE_OBJECTS:
            self._flush()

    def open(self, tag: str, attributes: Mapping[str, str]) -> None:
        """An element begins."""
        if tag == "br":
            self._inline.append("\n")
        elif tag == "a":
            self._links += 1
            self._in_page += attributes.get("href", "").startswith("#")
        elif tag not in _INLINE and not (tag == "button" and self._heading):
            self._flush()
            self._open_block(tag, attributes)

    def close(self, tag: str, attributes: Mapping[str, str]) -> None:
        """An element ends."""
        if tag == "a":
            self._links -= 1
            self._in_page -= attributes.get("href", "").startswith("#")
        elif tag == "caption" and self._table:
            self._emit("paragraph", squeeze("".join(self._inline)))
            self._inline = []
        elif tag not in _INLINE and tag != "br" and not (tag == "button" and self._heading):
            self._flush_cell(self._table) if tag in _CELLS and self._table else self._flush()
            self._close_block(tag)

    def written(self) -> tuple[Written, ...]:
        """All blocks so far."""
        self._flush()
        self._emit_list()
        return tuple(self._written)

    def _open_block(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag in _HEADINGS:
            self._emit_list()
            self._heading = _HEADINGS[tag]
        elif tag in _LISTS:
            self._lists.append(0 if tag == "ol" else None)
        elif tag in _ITEMS and self._lists:
            self._bullet = self._next_bullet(tag)
        elif tag == "table":
            self._table = Grid()
        elif tag in _ROW_GROUPS and self._table:
            self._table.begin_group(tag)
        elif tag == "tr" and self._table:
            self._table.begin_row()
        elif tag in _CELLS and self._table:
            self._table.begin_cell(tag, attributes)
        elif tag == "pre":
            self._pre += 1
        elif tag == "blockquote":
            self._quotes += 1

    def _next_bullet(self, tag: str) -> str:
        indent = "  " * min(len(self._lists) - 1, _MAX_INDENT)
        if tag != "li":
            return indent
        number = self._lists[-1]
        if number is None:
            return f"{indent}- "
        self._lists[-1] = number + 1
        return f"{indent}{number + 1}. "

    def _close_block(self, tag: str) -> None:
        if tag in _HEADINGS:
            self._heading = 0
        elif tag in _LISTS and self._lists:
            self._lists.pop()
            if not self._lists:
                self._emit_list()
        elif tag == "table" and self._table:
            text, head_lines = self._table.end()
            self._table = None
            self._emit("table", text, head_lines=head_lines)
        elif tag == "pre":
            self._pre -= 1
        elif tag == "blockquote":
            self._quotes -= 1

    def _flush_cell(self, table: Grid) -> None:
        table.end_cell(squeeze("".join(self._inline)))
        self._inline = []

    def _flush(self) -> None:
        """End the running paragraph."""
        text = "".join(self._inline)
        if self._table and not self._pre:
            self._inline = [text, " "] if text.strip() else []
            return
        self._inline = []
        text = text.strip("\n").rstrip() if self._pre else tidy(text)
        if not text.strip():
            return
        if self._heading:
            self._emit("heading", squeeze(text).strip("#¶ "), self._heading)
        elif self._lists and not self._pre:
            self._lines.append(self._bullet + text)
            self._list_chars += len(text)
            self._bullet = " " * len(self._bullet)
        else:
            self._emit_list()
            self._emit("code" if self._pre else "quote" if self._quotes else "paragraph", text)

    def _emit_list(self) -> None:
        """The list so far as a block; a list of links into the same page is a table of contents, and goes."""
        text = "\n".join(self._lines)
        if self._in_page_chars < _IN_PAGE_SHARE * self._list_chars or len(self._lines) < 2:
            self._emit("list", text)
        self._lines, self._in_page_chars, self._list_chars = [], 0, 0

    def _emit(self, kind: BlockKind, text: str, level: int = 0, head_lines: int = 1) -> None:
        if text.strip():
            block = Block(kind, text, level, head_lines=head_lines)
            self._written.append(Written(block, min(self._linked_chars, len(text))))
            self._linked_chars = 0
