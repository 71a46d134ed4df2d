"""Value types that cross package borders."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Language = str
"""ISO 639-1 code of a language that we can stem: a key of `core.languages.SNOWBALL`."""
FinishReason = Literal["stop", "length", "stopped", "no_answer"]
CacheState = Literal["miss", "exact", "semantic", "joined"]
NoteCode = Literal[
    "hidden_text",
    "scanned_text",
    "images_skipped",
    "pages_without_text",
    "placeholder_page",
    "contents_skipped",
    "running_heads_skipped",
    "hidden_parts",
    "attachments_skipped",
    "data_skipped",
    "characters_replaced",
    "values_missing",
]

ANY_CORPUS = "*"
DEFAULT_CORPUS = "default"


class Role(StrEnum):
    """What a principal may do; each role stands alone, and all but `OPERATOR` end at the tenant's border."""

    READER = "reader"
    WRITER = "writer"
    ADMIN = "admin"
    OPERATOR = "operator"
    """Whatever is of all tenants: model servers, settings, metrics."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks.

    Attributes:
        tenant: Who owns the data and pays.
        subject: The person or program, within the tenant.
        corpora: Names of the corpora granted; `ANY_CORPUS` grants all of the tenant's.
    """

    tenant: str
    subject: str
    roles: frozenset[Role]
    corpora: frozenset[str]

    def may_read(self, corpus: str) -> bool:
        """Whether `corpus` (of this principal's tenant) is granted."""
        return ANY_CORPUS in self.corpora or corpus in self.corpora


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a prompt or a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of one revision of a document: what is indexed, retrieved, quoted and cited.

    Attributes:
        id: Stable for the same document, revision and place.
        document: Document id; `revision`: revision id.
        name: The document's name within its corpus (a path or file name).
        title: The document's title.
        headings: Headings above the passage, outermost first.
        text: The passage itself, without title or headings.
        lead: Caption and names of columns, where the passage begins inside a table; else "". Not in `text`.
        page: First page, from 1; None where the format has no pages.
        start: Offset of the passage in the revision's extracted text, in characters; `end` is exclusive.
        language: Language of the document.
    """

    id: str
    document: str
    revision: str
    name: str
    title: str
    headings: tuple[str, ...]
    text: str
    page: int | None
    start: int
    end: int
    language: Language
    lead: str = ""

    @property
    def head(self) -> str:
        """Title and headings, on one line."""
        return " > ".join(dict.fromkeys(h for h in (self.title, *self.headings) if h))

    @property
    def body(self) -> str:
        """What is shown of it: the text below its lead."""
        return f"{self.lead}\n{self.text}" if self.lead else self.text

    @property
    def indexed_text(self) -> str:
        """What is embedded and indexed: title, headings, lead and text, one below the other."""
        return f"{self.head}\n{self.body}" if self.head else self.body


@dataclass(frozen=True, slots=True)
class Note:
    """Something that a document holds and its passages do not, or that its reader should know.

    Attributes:
        count: How many of them; pages, places, parts, as the code says.
        detail: At most 200 characters, of our own making: numbers of pages, "2 of 3". Never the text that was
            left out.
    """

    code: NoteCode
    count: int = 1
    detail: str = ""


@dataclass(frozen=True, slots=True)
class About:
    """What a document says of itself, "" where it says nothing.

    Attributes:
        date: ISO 8601, a day or a month or a year: when it was published or last changed.
        description: One line.
    """

    date: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Scored:
    """A retrieved passage and how well it fits, in [0, 1]."""

    passage: Passage
    score: float


@dataclass(frozen=True, slots=True)
class Usage:
    """What one generation took, as the engine counted; None where it did not say.

    Attributes:
        load_s: Until the model was loaded, the server's own queue included.
        prompt_s: Reading the prompt; `completion_s`: writing the answer.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    load_s: float | None = None
    prompt_s: float | None = None
    completion_s: float | None = None


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen.

    Attributes:
        temperature: 0 picks the likeliest token.
        max_tokens: Most tokens of the answer, thinking included.
        thinking: Whether a model that can think aloud does so.
    """

    temperature: float
    max_tokens: int
    thinking: bool = False
