"""Names whose documents are on their way: two versions of one document must not overtake each other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from backend.core.clock import Clock


class InFlight:
    """Lets a name in once its earlier version is through."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: dict[str, float] = {}
        self._left = asyncio.Condition()

    async def enter(self, name: str) -> None:
        """Wait until `name` is not under way, then mark it."""
        async with self._left:
            await self._left.wait_for(lambda: name not in self._since)
            self._since[name] = self._clock.monotonic()

    def age_s(self, name: str) -> float:
        """How long `name` has been under way."""
        return self._clock.monotonic() - self._since[name]

    async def leave(self, names: Iterable[str]) -> None:
        """These are through."""
        async with self._left:
            for name in names:
                self._since.pop(name, None)
            self._left.notify_all()
