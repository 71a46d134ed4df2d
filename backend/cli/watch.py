"""Says when files below some paths have changed and lie still again."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from backend.core.errors import NotFound
from backend.ingest.folder import survey

EVERY_S = 2.0
_ANY_SIZE = 1 << 62

Look = dict[str, tuple[int, int, int]] | None
"""Each file with its inode, size and time of change; None if a path is away."""


async def changes(paths: Sequence[Path], *, every_s: float = EVERY_S) -> AsyncIterator[None]:
    """Yields after each change, once two looks in a row see the same: an editor may write in several steps.

    A path that is away for a while is no change: a disk may come back.
    """
    told = await asyncio.to_thread(_look, paths)
    before = told
    while True:
        await asyncio.sleep(every_s)
        now = await asyncio.to_thread(_look, paths)
        if now is not None and now == before and now != told:
            told = now
            yield
        before = now


def _look(paths: Sequence[Path]) -> Look:
    try:
        found = survey(paths, max_bytes=_ANY_SIZE).found
    except (NotFound, OSError):
        return None
    return {one.origin: _mark(one.path) for one in found if not one.aside}


def _mark(path: Path) -> tuple[int, int, int]:
    try:
        seen = os.stat(path)
    except OSError:
        return (0, 0, 0)
    return seen.st_ino, seen.st_size, seen.st_mtime_ns
