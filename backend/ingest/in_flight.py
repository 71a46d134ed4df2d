"""Names whose documents are on their way: two versions of one document must not overtake each other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable


class InFlight:
    """Lets a name in once its earlier version is through."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._left = asyncio.Condition()

    async def enter(self, name: str) -> None:
        """Wait until `name` is not under way, then mark it."""
        async with self._left:
            await self._left.wait_for(lambda: name not in self._names)
            self._names.add(name)

    async def leave(self, names: Iterable[str]) -> None:
        """These are through."""
        async with self._left:
            self._names.difference_update(names)
            self._left.notify_all()
