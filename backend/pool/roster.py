"""Which instances there are: those of the settings, and what operators changed since."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from backend.core.errors import Conflict, InvalidRequest, NotFound
from backend.pool.base import Instance
from backend.pool.board.base import Board, Note

log = logging.getLogger(__name__)

State = Literal["active", "draining", "removed"]
KIND = "instances"

Make = Callable[[str, str, str, int], Instance]
"""An instance of an id, an engine's name, an address and a number of slots.

Raises:
    InvalidRequest: No such engine, or no such kind of address.
"""


@dataclass(slots=True)
class Roster:
    """The instances of all processes.

    Args:
        configured: Those of the settings, the same in every process.
        make: Makes those that operators add.
    """

    configured: Sequence[Instance]
    board: Board
    make: Make
    instances: dict[str, Instance] = field(default_factory=dict)
    draining: frozenset[str] = frozenset()
    _left_out: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self._take({})

    async def read(self) -> None:
        """Take in what has changed.

        Raises:
            SlotsUnavailable
        """
        self._take(await self.board.read(KIND))

    async def add(self, id: str, *, url: str, engine: str, slots: int) -> None:
        """See `Operator.add`."""
        await self.read()
        if id in self.instances:
            raise Conflict("an instance of that name is there already")
        url = self.make(id, engine, url, slots).endpoint.url
        if any(one.endpoint.url == url for one in self.instances.values()):  # each would be given its slots
            raise Conflict("an instance at that address is there already")
        note = {"state": "active", "url": url, "engine": engine, "slots": slots}
        await self.board.change(KIND, id, lambda _: note)
        await self.read()

    async def drain(self, id: str) -> None:
        """See `Operator.drain`."""
        await self._set(id, "draining")

    async def resume(self, id: str) -> None:
        """See `Operator.resume`."""
        await self._set(id, "active")

    async def remove(self, id: str) -> None:
        """See `Operator.remove`."""
        await self._set(id, "removed")

    async def _set(self, id: str, state: State) -> None:
        await self.read()
        if id not in self.instances:
            raise NotFound("no such instance")
        added = all(one.id != id for one in self.configured)
        gone = state == "removed" and added

        def changed(note: Note | None) -> Note | None:
            return None if gone else {**(note or {}), "state": state}

        await self.board.change(KIND, id, changed)
        await self.read()

    def _take(self, notes: Mapping[str, Note]) -> None:
        found = {one.id: one for one in self.configured}
        left_out = set()
        for id, note in sorted(notes.items()):
            if "url" in note and (made := self._made(id, note)):
                found[id] = made
            elif "url" in note:
                left_out.add(id)
        self._left_out = frozenset(left_out)
        states = {id: note.get("state", "active") for id, note in notes.items()}
        self.instances = {id: one for id, one in found.items() if states.get(id) != "removed"}
        self.draining = frozenset(id for id in self.instances if states.get(id) == "draining")

    def _made(self, id: str, note: Note) -> Instance | None:
        """None where none can be made of it: another release, or other settings, may have noted it."""
        known = self.instances.get(id)
        if known and (known.endpoint.url, known.slots) == (note["url"], note.get("slots")):
            return known
        try:
            return self.make(id, note["engine"], note["url"], note["slots"])
        except (InvalidRequest, KeyError) as exc:
            if id not in self._left_out:
                log.error("an added instance is left out: %s", exc, extra={"instance": id})
            return None
