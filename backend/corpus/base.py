"""The catalogue: documents, their revisions, which revision is live, and the corpus version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from backend.core.types import Language


@dataclass(frozen=True, slots=True)
class CorpusRef:
    """A set of documents searched together; names are unique within a tenant."""

    tenant: str
    name: str


@dataclass(frozen=True, slots=True)
class Document:
    """A document as its readers see it, with its live revision."""

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


@dataclass(frozen=True, slots=True)
class NewRevision:
    """What a flip makes live.

    Attributes:
        revision: Chosen by the caller before the passages were written to the indexes.
        text: Extracted text; passage offsets point into it.
        made_by: Id of parser, chunker and embedder; another id means the revision is out of date.
    """

    name: str
    revision: str
    title: str
    media_type: str
    language: Language
    content_sha256: str
    size_bytes: int
    passages: int
    text: str
    made_by: str


@dataclass(frozen=True, slots=True)
class LiveView:
    """Which revisions are live in one corpus, at one version of it.

    Attributes:
        version: Random token, drawn anew at every change; "" for a corpus that never had a document.
    """

    version: str
    revisions: frozenset[str]


class Catalogue(Protocol):
    """Documents of all tenants. Every method takes the corpus, so a tenant never sees another's."""

    async def live(self, corpus: CorpusRef) -> LiveView:
        """Live revisions and version; cheap (kept in memory, exact within this process).

        Raises:
            StorageUnavailable: Never loaded yet, and the database does not answer.
        """

    async def flip(self, corpus: CorpusRef, new: NewRevision) -> tuple[Document, str | None]:
        """Make `new` the live revision of its document and draw a new corpus version, in one transaction.

        Returns:
            The document, and the id of the revision it replaces (its passages may now be removed).

        Raises:
            StorageUnavailable, StorageFull
        """

    async def remove(self, corpus: CorpusRef, document: str) -> str:
        """Remove a document; returns its last revision's id.

        Raises:
            NotFound: No such document in this corpus.
            StorageUnavailable
        """

    async def by_name(self, corpus: CorpusRef, name: str) -> tuple[Document, str] | None:
        """The document of that name and the `made_by` of its live revision."""

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

    async def corpora(self, tenant: str) -> Sequence[CorpusRef]:
        """Corpora of the tenant that hold at least one document."""
