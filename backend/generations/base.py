"""The port of the generation log: one writes, any number follow.

    begin ─────▶ writer   append* ─▶ prepare_end ─▶ append(terminal)
    takeover ──▶ another writer, under the next fence: whatever the one before it still writes is refused

A writer renews its lease as long as it lives. One that no longer does is dead: whoever finds that out takes
its generation over, and goes on from the record and the entries that are there.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, NewType, Protocol

from backend.core.events import Event, LogEvent, Origin, Terminal
from backend.core.types import Language, Message, Principal, Scored
from backend.core.variant import Variant
from backend.corpus.base import CorpusRef

GenerationId = NewType("GenerationId", str)


class EntryId(NamedTuple):
    """Place of an entry in a log: at once fencing token and SSE id. Written `<fence>-<seq>`.

    A tuple, as `Entry`: they are made for every token, and a frozen dataclass takes three times as long.
    """

    fence: int
    seq: int

    def __str__(self) -> str:
        """As it travels in `id:` and `Last-Event-ID`."""
        return f"{self.fence}-{self.seq}"

    @classmethod
    def parse(cls, text: str) -> EntryId:
        """The id written in `text`.

        Raises:
            ValueError: Not two decimal numbers below 2**63, joined by a hyphen, in canonical form.
        """
        fence, _, seq = text.partition("-")
        if not (fence.isascii() and fence.isdigit() and seq.isascii() and seq.isdigit()):
            raise ValueError("an entry id is <fence>-<seq>")
        if len(text) > 39 or str(entry := cls(int(fence), int(seq))) != text or max(entry) >= 2**63:
            raise ValueError("an entry id is <fence>-<seq>, below 2**63 and without leading zeros")
        return entry


START = EntryId(0, 0)
"""Before every entry."""


class Entry(NamedTuple):
    """One event at its place; at `START`: an event of one run alone, which is not in the log."""

    id: EntryId
    event: Event


class Batch(list[Entry]):
    """Entries as they came; one object for all who follow closely, so that it is encoded once.

    Attributes:
        encoded: What the first who showed it made of it.
    """

    __slots__ = ("encoded",)

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        super().__init__(entries)
        self.encoded: bytes | None = None


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """All that an answer is made from: whoever holds it can begin or continue the answer, in any process.

    Attributes:
        run: The run that began it; others may follow.
        principal: Who asked.
        question: As asked; `standalone`: understandable without the earlier turns.
        history: Earlier turns that the prompt may hold, oldest first.
        began: Seconds since the epoch; `deadline`: after it nobody wants the answer.
        passages: As they are shown, numbered from 1 in this order; None: not looked for yet.
        degraded: What was missing when they were found; "model" once no model answers and they are quoted.
    """

    run: str
    principal: Principal
    corpora: tuple[CorpusRef, ...]
    question: str
    standalone: str
    language: Language
    history: tuple[Message, ...]
    variant: Variant
    began: float
    deadline: float
    passages: tuple[Scored, ...] | None = None
    degraded: tuple[str, ...] = ()


class Word(StrEnum):
    """What a writer is told when it renews its lease."""

    GO_ON = "go_on"
    STOP = "stop"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True)
class PreparedEnd:
    """The end that stands: the one prepared first, and the runs that it is the end of."""

    terminal: Terminal
    runs: tuple[str, ...]


class Writer(Protocol):
    """The one who may write a generation's log; every method is refused once another has taken it over.

    All raise `Superseded` then, and `LogUnavailable` while the log does not answer.
    """

    @property
    def generation(self) -> GenerationId:
        """Whose log it is."""

    @property
    def can_release(self) -> bool:
        """Whether another process could go on with it now."""

    async def append(self, events: Sequence[LogEvent]) -> EntryId:
        """Write events in order; returns the last one's id. A terminal event is the last of all.

        Raises:
            Conflict: The generation has ended already; or its end is prepared, and this is not it.
            TooLarge: The log would pass its bound; a terminal event is still accepted.
        """

    async def note(self, record: RequestRecord) -> None:
        """Put `record` in the place of the one before: what a takeover goes on from."""

    async def prepare_end(self, terminal: Terminal) -> PreparedEnd:
        """Shut the door and keep `terminal` unseen, in one step; an end that is prepared already stands."""

    async def renew(self) -> Word:
        """Say that the writer lives, and hear whether it is still wanted; if not, nobody joins any more."""

    async def release(self) -> None:
        """Give the generation up: it can be taken over at once, before the lease ends."""


@dataclass(frozen=True, slots=True)
class Joined:
    """The generation that a run follows; who gets its `writer` produces the answer."""

    generation: GenerationId
    writer: Writer | None


@dataclass(frozen=True, slots=True)
class TakenOver:
    """A generation whose writer died: what it was made from, and what has been written.

    Attributes:
        prepared: Its end, if that was prepared: then only the rest of ending is left to do.
    """

    record: RequestRecord
    entries: Sequence[Entry]
    writer: Writer
    prepared: Terminal | None = None


class GenerationLog(Protocol):
    """Logs of all live generations, and of those that ended less than the retention ago."""

    async def begin(self, key: str | None, run: str, record: RequestRecord) -> Joined:
        """A new generation made from `record`, or the live one with the same key; None is never shared.

        In one step: `run` follows it, and a new one has its writer.

        Raises:
            PoolFull: As many are live as may be.
            LogUnavailable
        """

    async def takeover(self, generation: GenerationId) -> TakenOver | None:
        """The generation for whoever asks first; None: its writer lives, it has ended, or it is gone.

        Raises:
            LogUnavailable
        """

    async def lapsed(self) -> Sequence[GenerationId]:
        """Live generations whose writer has not renewed its lease in time."""

    def follow(
        self,
        generation: GenerationId,
        after: EntryId = START,
        *,
        run: str | None = None,
        idle_s: float = 10.0,
    ) -> AsyncGenerator[Sequence[Entry], None]:
        """Batches of entries after `after`, as they come; the last entry of the last batch is terminal.

        Neighbouring pieces of text of one channel come as one entry, under the id of the last. An empty batch
        is a sign of life: nothing came for `idle_s`. Ends without a terminal entry where `run` left.

        Raises:
            NotFound: The log is gone, or never had `after`.
            LogUnavailable
        """

    async def origin(self, generation: GenerationId) -> Origin | None:
        """The first entry; None: nothing is written yet.

        Raises:
            NotFound: The log is gone.
        """

    async def has_ended(self, generation: GenerationId) -> bool:
        """Whether the terminal entry is written.

        Raises:
            NotFound: The log is gone.
        """

    async def is_end(self, generation: GenerationId, entry: EntryId) -> bool:
        """Whether `entry` is the terminal one.

        Raises:
            NotFound: The log is gone, or never had this entry.
        """

    async def leave(self, generation: GenerationId, run: str) -> bool:
        """Take `run` out of a live generation that others still want; its followers end here.

        Returns:
            False: `run` is the last. It stays, nobody else can join, and the writer is told to stop.
        """

    async def will_end(self, generation: GenerationId, run: str) -> bool:
        """Whether the end will be this run's too: it is not prepared yet, and `run` has not left.

        Raises:
            NotFound: The log is gone.
        """
