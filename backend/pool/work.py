"""Work beside the rounds of the pool, each piece under a name of which one is done at a time."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from backend.core.aio import Background


class Work:
    """Probes, looks and loads that are under way."""

    def __init__(self) -> None:
        self._background = Background()
        self._busy: set[str] = set()

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Do it beside everything else, unless it is being done."""
        if name in self._busy:
            work.close()
            return
        self._busy.add(name)
        self._background.start(work, name=name).add_done_callback(lambda _: self._busy.discard(name))

    async def close(self) -> None:
        """End what is under way."""
        await self._background.close()
