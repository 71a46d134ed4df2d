"""A notes of one process."""

from __future__ import annotations

from backend.pool.shared_notes.base import Change, Note


class MemoryNotes:
    """Notes in a dictionary; this process leads everything."""

    def __init__(self) -> None:
        self._notes: dict[str, dict[str, Note]] = {}

    async def read(self, kind: str) -> dict[str, Note]:
        """See `SharedNotes.read`."""
        return dict(self._notes.get(kind, {}))

    async def change(self, kind: str, name: str, change: Change) -> Note | None:
        """See `SharedNotes.change`."""
        notes = self._notes.setdefault(kind, {})
        note = change(notes.get(name))
        if note is None:
            notes.pop(name, None)
        else:
            notes[name] = note
        return note

    async def lead(self, task: str, for_s: float) -> bool:
        """See `SharedNotes.lead`."""
        return True

    def holds(self, kind: str) -> bool:
        """Whether there is any note of a kind."""
        return bool(self._notes.get(kind))

    def copy_from(self, kind: str, notes: dict[str, Note]) -> None:
        """Hold these notes of a kind, and no others."""
        self._notes[kind] = dict(notes)
