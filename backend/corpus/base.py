"""The catalogue: documents, their revisions, which revision is live, and the corpus version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from backend.core.types import About, Language, Note, Passage


@dataclass(frozen=True, slots=True)
class CorpusRef:
    """A set of documents searched together; names are unique within a tenant."""

    tenant: str
    name: str


@dataclass(frozen=True, slots=True)
class Document:
    """A document as its readers see it, with its live revision.

    Attributes:
        origin: Where the file lies that it was read from, as a `file:` address; "" if that was not told.
        notes: What its live revision leaves out, and why.
    """

    id: str
    corpus: CorpusRef
    name: str
    title: str
    media_type: str
    language: Language
    revision: str
    content_sha256: str
    size_bytes: int
    passages: int
    created: float
    updated: float
    origin: str = ""
    notes: tuple[Note, ...] = ()
    about: About = field(default_factory=About)


@dataclass(frozen=True, slots=True)
class NewRevision:
    """What a flip makes live.

    Attributes:
        revision: Chosen by the caller before the passages were written to the indexes.
        passages: In order; kept with the pointer, in the same transaction.
        text: Extracted text; passage offsets point into it.
        document: The id that its passages were written with, as `Catalogue.id_for` gave it.
        made_by: Id of parser, chunker and embedder; another id means the revision is out of date.
    """

    name: str
    revision: str
    title: str
    media_type: str
    language: Language
    content_sha256: str
    size_bytes: int
    passages: tuple[Passage, ...]
    text: str
    made_by: str
    document: str = ""
    origin: str = ""
    notes: tuple[Note, ...] = ()
    about: About = field(default_factory=About)


@dataclass(frozen=True, slots=True)
class LiveView:
    """Which revisions are live in one corpus, at one version of it.

    Attributes:
        version: Random token, drawn anew at every change; "" for a corpus that never had a document.
    """

    version: str
    revisions: frozenset[str]


@dataclass(frozen=True, slots=True)
class Contents:
    """What an index of a corpus has to hold, at one version of it.

    Attributes:
        passages: Live revision to the number of its passages in SQL.
        bare: Live revisions of which SQL has no passages, to their documents: an older release kept them only
            in the indexes.
    """

    version: str
    passages: Mapping[str, int]
    bare: Mapping[str, str]


class Catalogue(Protocol):
    """Documents of all tenants. Every method takes the corpus, so a tenant never sees another's."""

    async def live(self, corpus: CorpusRef) -> LiveView:
        """Live revisions and version; cheap (kept in memory, exact within this process).

        Raises:
            StorageUnavailable: Never loaded yet, and the database does not answer.
        """

    async def flip(
        self, corpus: CorpusRef, new: NewRevision, *, writer: str | None = None
    ) -> tuple[Document, str | None]:
        """Make `new` the live revision of its document and draw a new corpus version, in one transaction.

        With `writer`, only if the revision is still that writer's draft: one that was overtaken is refused.

        Returns:
            The document, and the id of the revision it replaces (its passages may now be removed).

        Raises:
            Conflict: `writer` is given, and the draft is gone or another's; or the document was renamed.
            StorageUnavailable, StorageFull
        """

    async def remove(self, corpus: CorpusRef, document: str) -> str:
        """Remove a document; returns its last revision's id.

        Raises:
            NotFound: No such document in this corpus.
            StorageUnavailable
        """

    async def by_name(self, corpus: CorpusRef, name: str) -> tuple[Document, str] | None:
        """The document of that name and the `made_by` of its live revision; "" if that is bare."""

    async def id_for(self, corpus: CorpusRef, name: str) -> str:
        """The id of the document of that name, or the one that a new document of that name gets."""

    async def rename(self, corpus: CorpusRef, document: str, name: str, origin: str) -> None:
        """Give a document another name; it keeps its id, its texts and its first date, and is out of date.

        Raises:
            NotFound: No such document.
            Conflict: Another document has that name.
            StorageUnavailable, StorageFull
        """

    async def place(self, corpus: CorpusRef, origins: Mapping[str, str]) -> None:
        """Note where documents, by id, lie now (`Document.origin`); nothing else of them changes."""

    async def get(self, corpus: CorpusRef, document: str) -> Document:
        """One document.

        Raises:
            NotFound
        """

    async def text(self, corpus: CorpusRef, document: str, revision: str | None = None) -> tuple[str, str]:
        """Extracted text of a revision (default: the live one), and that revision's id.

        Raises:
            NotFound: No such document, or a revision that is no longer kept.
        """

    async def documents(self, corpus: CorpusRef, *, after: str = "", limit: int = 100) -> Sequence[Document]:
        """Documents by name, those after the name `after`, at most `limit`."""

    async def all_documents(self, corpus: CorpusRef) -> Sequence[Document]:
        """Every document, by name."""

    async def corpora(self, tenant: str) -> Sequence[CorpusRef]:
        """Corpora of the tenant that hold at least one document."""


class WritableCatalogue(Catalogue, Protocol):
    """A catalogue that indexes can be made from, and that remembers what may be in them without being live.

    A revision is *left over* from `draft` until its flip, and again once it was replaced or removed. Whoever
    removes its passages says so with `cleared`; a crash at any point leaves a list of what is to be cleaned.
    """

    async def versions(self) -> Mapping[CorpusRef, str]:
        """Version of every corpus that ever had a document, as it is in SQL now."""

    async def contents(self, corpus: CorpusRef) -> Contents:
        """What is live, as it is in SQL now."""

    async def passages(self, corpus: CorpusRef, revision: str) -> Sequence[Passage]:
        """The passages of a live revision, in order; none if it is not live, or bare."""

    async def fill(self, corpus: CorpusRef, passages: Sequence[Passage]) -> bool:
        """Keep the passages of a bare live revision; False, and nothing done, if they are not all of its own.

        Raises:
            StorageUnavailable, StorageFull
        """

    async def draft(self, corpus: CorpusRef, revisions: Sequence[str], *, writer: str) -> None:
        """Announce that `writer` is about to write passages of these revisions; takes over another's drafts.

        Raises:
            StorageUnavailable, StorageFull
        """

    async def left_over(self, corpus: CorpusRef, *, older_than_s: float) -> Sequence[str]:
        """Revisions left over for at least that long; those of removed documents at once."""

    async def cleared(self, corpus: CorpusRef, revisions: Sequence[str]) -> None:
        """Forget left-over revisions: their passages are no longer in the indexes."""

    async def untidy(self, *, older_than_s: float) -> Sequence[CorpusRef]:
        """Corpora with revisions that `left_over` would name."""
