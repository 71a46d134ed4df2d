"""A generation of the shared log in one process: its mirror and, if it is written here, all it is made of."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from backend.core.errors import LogUnavailable
from backend.core.events import LogEvent, Terminal
from backend.generations.base import START, EntryId
from backend.generations.codec import decode, from_wire, to_wire
from backend.generations.mirror import Mirror

CHANNEL = "libri:log:"
"""Begins the name of the channel on which it is said that a generation has something new."""


@dataclass(slots=True, eq=False)
class Kept(Mirror):
    """One generation; who writes it has `fence`.

    Attributes:
        fence: Under which this process writes; None: another does, or nobody.
        is_shared: Whether others may join it.
        deadline: Epoch seconds.
        linked: Every entry is in Redis, or under way there.
        acked: How many entries Redis is known to have.
        renewed: When Redis last heard that the writer lives, on this process's clock.
        lapsed: Its writer was dead when the shared log was last asked.
        here: Runs that are followed in this process; `most_runs`: how many there were in all.
        missing_since: Since when the shared log does not have it.
        doubtful: What is here may not be what counts: it is to be read anew.
        released: This process wrote it and gave it up.
        ended_at: When this process ended it, on its clock.
        asked: What is new is being read; `again`: and has to be read once more.
    """

    fence: int | None = None
    is_shared: bool = False
    deadline: float = 0.0
    record: bytes = b""
    prepared: Terminal | None = None
    stopping: bool = False
    runs: dict[str, None] = field(default_factory=dict)
    linked: bool = True
    acked: int = 0
    renewed: float = 0.0
    lapsed: bool = False
    here: set[str] = field(default_factory=set)
    most_runs: int = 0
    missing_since: float | None = None
    doubtful: bool = False
    released: bool = False
    ended_at: float = 0.0
    asked: bool = False
    again: bool = False
    waits: asyncio.Future[None] | None = None

    @property
    def tag(self) -> str:
        """What the keys of the generation begin with, and what keeps them on one node."""
        return f"libri:{{{self.id.partition('.')[0]}}}"

    @property
    def own(self) -> str:
        """What tells it from others with the same tag."""
        return self.id.partition(".")[2]

    @property
    def log_key(self) -> str:
        """Of its stream."""
        return f"{self.tag}:{self.own}:log"

    @property
    def runs_key(self) -> str:
        """Of its runs."""
        return f"{self.tag}:{self.own}:runs"

    @property
    def channel(self) -> str:
        """Where it is said that there is something new."""
        return CHANNEL + self.id

    @property
    def is_elsewhere(self) -> bool:
        """It is followed here, and may get entries from another process."""
        return self.fence is None and self.followers > 0 and not self.has_ended

    @property
    def has_ended(self) -> bool:
        """Its terminal entry can be seen."""
        return self.ended and self.shown == len(self.events)

    @property
    def is_open(self) -> bool:
        """This process writes it, and it has not ended."""
        return self.fence is not None and not self.ended

    def wire(self, number: int) -> bytes:
        """An entry as Redis keeps it."""
        name, data = self.events.raw(number)
        return to_wire(name, data)

    def place_of(self, after: EntryId) -> tuple[int, bool] | None:
        """How many entries are known to who has seen `after`, and whether others stand in their place.

        None: it is an entry that may be on its way.

        Raises:
            NotFound: There never was such an entry.
        """
        if after.fence in self.fences[:-1] and after.seq > self._length_of(after.fence):
            return 0, True
        if (self.fences and after <= self.last_id) or after == START:
            return self.number_behind(after), False
        return None

    def _length_of(self, fence: int) -> int:
        at = self.fences.index(fence)
        return self.starts[at + 1] - self.starts[at]

    def length_until(self, last: EntryId) -> int:
        """How long its stream is if `last` is the last in it; -1: it cannot be."""
        if last.fence not in self.fences:
            return -1
        at = self.fences.index(last.fence)
        return self.starts[at] + last.seq + at + 1

    def settle(self) -> None:
        """Whoever waits for an entry to be shown may go on."""
        if self.waits is not None and not self.waits.done():
            self.waits.set_result(None)

    def show_all(self) -> None:
        """Let everything be seen that was written."""
        self.show(len(self.events))
        self.settle()

    def unlink(self) -> None:
        """Redis does not have everything: go on in memory."""
        self.linked = False
        self.show_all()

    def take(self, entries: Sequence[Any]) -> bool:
        """Add what Redis has behind the last entry; False: these do not follow what is here.

        Raises:
            LogUnavailable: They are no entries of a log.
        """
        for id_, fields in entries:
            entry, wire = EntryId.parse(id_), fields["e"]
            if entry <= self.last_id:
                continue
            if entry.seq == 0:
                if self.fences and wire != str(self.last_id):
                    return False
                self.begin_fence(entry.fence)
                continue
            if entry != EntryId(self.last_id.fence, self.last_id.seq + 1):
                return False
            self._put(wire)
        if self.fence is None:
            self.acked = len(self.events)
            self.show(len(self.events))
        return True

    def _put(self, wire: str) -> None:
        try:
            name, data = from_wire(wire)
            event: LogEvent = decode(name, data)
        except ValueError as exc:
            raise LogUnavailable("the shared log holds what is no event") from exc
        self.put([(event, data)])
        if isinstance(event, Terminal):
            self.ended = True

    def leave(self, run: str, seen: str) -> None:
        """`run` has left, when the entry `seen` was the last."""
        entry = EntryId.parse(seen)
        if entry.seq == 0:
            number = self.starts[self.fences.index(entry.fence)] if entry.fence in self.fences else 0
        else:
            number = self.number_behind(entry)
        self.left[run] = number
        self.runs.pop(run, None)
