"""The port of the generation log."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import NewType, Protocol

from backend.core.events import LogEvent

GenerationId = NewType("GenerationId", str)


@dataclass(frozen=True, slots=True, order=True)
class EntryId:
    """Place of an entry in a log: at once fencing token and SSE id. Written `<fence>-<seq>`."""

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
        if len(fence) > 19 or len(seq) > 19 or str(entry := cls(int(fence), int(seq))) != text:
            raise ValueError("an entry id is <fence>-<seq>, without leading zeros")
        return entry


START = EntryId(0, 0)


@dataclass(frozen=True, slots=True)
class Entry:
    """One event at its place."""

    id: EntryId
    event: LogEvent


@dataclass(frozen=True, slots=True)
class Joined:
    """The generation a run follows, and whether this call began it (then the caller must produce it)."""

    generation: GenerationId
    began: bool


class GenerationLog(Protocol):
    """Logs of all live generations, and of those that ended less than the retention ago."""

    async def start_or_join(self, key: str | None) -> Joined:
        """A new generation, or the live one with the same key; None is never shared.

        Raises:
            LogUnavailable
        """

    async def append(self, generation: GenerationId, events: Sequence[LogEvent]) -> EntryId:
        """Write events in order; returns the last one's id. After a terminal event nothing is written.

        Raises:
            LogUnavailable
            NotFound: The log is gone.
            Conflict: The generation has ended already.
        """

    def follow(
        self,
        generation: GenerationId,
        after: EntryId = START,
        *,
        run: str | None = None,
        idle_s: float = 10.0,
    ) -> AsyncGenerator[Sequence[Entry], None]:
        """Batches of entries after `after`, as they come; the last entry of the last batch is terminal.

        An empty batch is a sign of life: nothing came for `idle_s`. Ends without a terminal entry
        where `run` left.

        Raises:
            NotFound: The log is gone.
            LogUnavailable
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

    async def attach(self, generation: GenerationId, run: str) -> None:
        """Count `run` among those who want the generation.

        Raises:
            NotFound: The log is gone.
        """

    async def leave(self, generation: GenerationId, run: str) -> bool:
        """Take `run` out of a live generation that others still want; its followers end here.

        Returns:
            False: `run` is the last. It stays, nobody else can join, and the caller ends the generation.
        """

    async def close_to_others(self, generation: GenerationId) -> None:
        """Nobody joins from now on; who has joined stays.

        Raises:
            NotFound: The log is gone.
        """

    async def is_open(self, generation: GenerationId) -> bool:
        """Whether others may still join; False from the moment its end is prepared.

        Raises:
            NotFound: The log is gone.
        """

    async def runs(self, generation: GenerationId) -> Sequence[str]:
        """Runs attached, in the order they came, without those that left."""

    async def abandoned(self) -> Sequence[GenerationId]:
        """Live generations that no one has followed for the abandonment time."""
