"""What reading and cutting a document give, and the port of the reader."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from backend.core.types import About as About
from backend.core.types import Language
from backend.core.types import Note as Note

BlockKind = Literal["heading", "paragraph", "list", "table", "code", "quote"]
MediaType = Literal[
    "text/markdown",
    "text/html",
    "application/pdf",
    "text/plain",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.oasis.opendocument.text",
    "application/epub+zip",
    "message/rfc822",
    "text/csv",
]
SEPARATOR = "\n\n"
CELL = " | "
"""Between the cells of a row; an empty cell keeps its place."""
PARSER_VERSION = "2"
"""Part of what a revision was made by: raise it when the parsers or the chunker read differently."""


@dataclass(frozen=True, slots=True)
class Block:
    """One structural piece of a document, in reading order; `text` is never blank.

    Attributes:
        level: 1 to 6 for a heading, else 0.
        page: From 1; None where the format has no pages.
        head_lines: Of a table, whose text has one row a line and `CELL` between cells: how many of its first
            lines say what the others mean (caption, units, names of columns). Nothing to another kind.
    """

    kind: BlockKind
    text: str
    level: int = 0
    page: int | None = None
    head_lines: int = 1


@dataclass(frozen=True, slots=True)
class Parsed:
    """A document as read.

    Attributes:
        title: One line, never empty.
        notes: What was left out, and why.
        text: The blocks joined by `SEPARATOR`; chunk offsets point into it.
    """

    title: str
    media_type: MediaType
    language: Language
    blocks: tuple[Block, ...]
    notes: tuple[Note, ...] = ()
    about: About = field(default_factory=About)
    text: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", SEPARATOR.join(block.text for block in self.blocks))


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of `Parsed.text`: exactly `text[start:end]`.

    Attributes:
        headings: Headings above the piece, outermost first.
        page: Page on which it begins.
        lead: What gives its first lines their meaning and stands above, not in `text`: caption and names of
            columns of a table that is cut. "" for most.
    """

    text: str
    headings: tuple[str, ...]
    page: int | None
    start: int
    end: int
    lead: str = ""


class Reader(Protocol):
    """Reads files that nobody vouches for."""

    async def read(self, name: str, data: bytes) -> Parsed:
        """The document in `data`; `name` gives its format and, failing all else, its title.

        Raises:
            UnsupportedDocument: Not a kind we read, or not the kind that its name says.
            UnreadableDocument: Damaged, encrypted, empty, or over a limit; the message says which.
        """
