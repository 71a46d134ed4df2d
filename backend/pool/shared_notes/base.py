"""The port of the notes: one small JSON object under a kind and a name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

Note = Mapping[str, Any]
Change = Callable[[Note | None], Note | None]


class SharedNotes(Protocol):
    """Profile all processes share. Every one of them may vanish at any moment.

    All methods may raise `SlotsUnavailable` where the store does not answer in time.
    """

    async def read(self, kind: str) -> dict[str, Note]:
        """Every note of a kind, by name."""

    async def change(self, kind: str, name: str, change: Change) -> Note | None:
        """Put `change(note)` in a note's place and return it; None stands for no note.

        No other process's change is lost: `change` is called again when one came in between.
        """

    async def lead(self, task: str, for_s: float) -> bool:
        """Whether this process, and no other, is to do `task` for `for_s` seconds; asking again renews it."""


class StoredNotes(SharedNotes, Protocol):
    """Notes in a store that several processes share."""

    @property
    def copy(self) -> SharedNotes:
        """What this process knows of them, for while the store is away."""
