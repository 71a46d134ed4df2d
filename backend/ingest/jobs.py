"""Ingestions: what is to be read, how far it has come, who may work on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from backend.core.types import Note
from backend.corpus.base import CorpusRef

ItemState = Literal["waiting", "done", "unchanged", "failed"]
IngestionState = Literal["queued", "running", "done", "failed"]


@dataclass(frozen=True, slots=True)
class NewItem:
    """A file to be read.

    Attributes:
        data: Its bytes; None if they are kept already, or are not needed because the item is finished.
        state: Anything but "waiting" is a verdict given before the work began.
        origin: As `Document.origin`.
    """

    name: str
    sha256: str
    size_bytes: int
    data: bytes | None = None
    state: ItemState = "waiting"
    reason: str = ""
    document: str = ""
    passages: int = 0
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """A file that waits to be read.

    Attributes:
        force: Read it even if nothing changed.
        attempts: How often its work was begun and not ended.
    """

    ingestion: str
    number: int
    name: str
    sha256: str
    size_bytes: int
    force: bool
    attempts: int
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the work on an item ended; `reason` is for the person who sent the file."""

    item: Item
    state: ItemState
    reason: str = ""
    document: str = ""
    passages: int = 0


@dataclass(frozen=True, slots=True)
class ItemStatus:
    """One file of an ingestion, as its sender sees it.

    Attributes:
        notes: Those of its document as it is now.
    """

    name: str
    state: ItemState
    reason: str
    document: str
    passages: int
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class IngestionStatus:
    """How far an ingestion has come.

    Attributes:
        state: "failed" only if not one file could be read.
        reason: Why it waits, as an error code ("storage_full"); "" if nothing is in its way.
    """

    id: str
    corpus: CorpusRef
    state: IngestionState
    reason: str
    total: int
    finished: int
    items: tuple[ItemStatus, ...]

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ("done", "failed")


@dataclass(frozen=True, slots=True)
class Backlog:
    """What a tenant has waiting; `stalled` is the code of what stands in the way, or ""."""

    ingestions: int
    items: int
    size_bytes: int
    stalled: str


class JobStore(Protocol):
    """Ingestions in a place that survives, shared by all replicas.

    Every method raises StorageUnavailable, those that write StorageFull.
    """

    async def create(
        self, corpus: CorpusRef, items: Sequence[NewItem], *, force: bool = False, open_s: float = 0.0
    ) -> str:
        """Keep an ingestion with its bytes, in one transaction; more can be appended for `open_s`."""

    async def reread(self, corpus: CorpusRef, *, unlike: str = "", document: str = "") -> str | None:
        """Queue documents whose bytes are kept; the ingestion's id, None if there are none.

        Args:
            corpus: Whose documents; all of them, read even if nothing changed, if nothing else is given.
            unlike: Those that something else made (`NewRevision.made_by`).
            document: This one. Of what is narrowed down, that which waits to be read already is left out, so
                that any number of processes may ask at once, and one is answered.
        """

    async def append(self, tenant: str, ingestion: str, items: Sequence[NewItem], *, open_s: float) -> None:
        """Add items to an open ingestion; 0 closes it."""

    async def status(self, tenant: str, ingestion: str) -> IngestionStatus:
        """How far it has come.

        Raises:
            NotFound: No such ingestion of this tenant.
        """

    async def failed(self, corpus: CorpusRef) -> Sequence[ItemStatus]:
        """Files that could not be read when they were last sent, by name; while their ingestions are kept."""

    async def backlog(self, tenant: str) -> Backlog:
        """What waits."""

    async def waiting_names(self, corpus: CorpusRef) -> frozenset[str]:
        """Names of the items that wait."""

    async def due(self) -> Sequence[CorpusRef]:
        """Corpora with items that may be worked on now, longest waiting first."""

    async def waiting(self, corpus: CorpusRef, limit: int) -> Sequence[Item]:
        """Items that wait, in the order they were sent; their ingestions are marked as running."""

    async def begin(self, items: Sequence[Item]) -> None:
        """Count an attempt."""

    async def finish(self, outcomes: Sequence[Outcome]) -> None:
        """Record how items ended; ends ingestions that have none waiting."""

    async def postpone(self, corpus: CorpusRef, reason: str, not_before: float) -> None:
        """Back to the queue, without counting attempts, until `not_before` (epoch seconds)."""

    async def blob(self, tenant: str, sha256: str) -> bytes | None:
        """Bytes that were sent; None if they are not kept."""

    async def forget(self, corpus: CorpusRef, name: str, sha256: str) -> None:
        """After a document is removed or renamed: withdraw what waits under its name, drop unused bytes."""

    async def sweep(self, *, ended_before: float) -> None:
        """End abandoned ingestions; forget those that ended before that time, and bytes nothing refers to."""


class Leases(Protocol):
    """The right to write to a corpus's indexes: one owner at a time, for a while."""

    async def take(self, corpus: CorpusRef, owner: str, lease_s: float) -> bool:
        """Take or renew; False while another owner's lease lasts."""

    async def renew(self, corpus: CorpusRef, owner: str, lease_s: float) -> bool:
        """Extend one's own lease; False if it was lost."""

    async def release(self, corpus: CorpusRef, owner: str) -> None:
        """Give it back."""
