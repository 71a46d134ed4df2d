"""How much silence of a model server is borne."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from backend.core.aio import Elapsed, Limit
from backend.core.errors import EngineTimeout

T = TypeVar("T")


class Patience:
    """How much more silence is borne; only time spent waiting counts, not a reader's slowness."""

    def __init__(self, seconds: float) -> None:
        self._left_s = seconds
        self._limit = Limit()

    def renew(self, seconds: float) -> None:
        """Bear `seconds` from now on."""
        self._left_s = seconds

    async def within(self, work: Awaitable[T]) -> T:
        """The result of `work`.

        Raises:
            EngineTimeout: Patience ran out.
        """
        now = asyncio.get_running_loop().time
        began = now()
        try:
            return await self._limit.within(self._left_s, work)
        except Elapsed as exc:
            raise EngineTimeout("the model server was silent for too long") from exc
        finally:
            self._left_s -= now() - began

    def end(self) -> None:
        """Nothing is waited for any more."""
        self._limit.close()
