"""An answer that is asked for by many and may be a little old."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from backend.core.clock import Clock

T = TypeVar("T")


class Remembered(Generic[T]):
    """What `ask` answered, at most `fresh_s` ago; one call runs at a time, and the others wait for it.

    A caller that is cancelled while it asks leaves the asking to the next one.
    """

    def __init__(self, ask: Callable[[], Awaitable[T]], clock: Clock, *, fresh_s: float) -> None:
        self._ask = ask
        self._clock = clock
        self._fresh_s = fresh_s
        self._asking = asyncio.Lock()
        self._answer: tuple[T, float] | None = None

    async def __call__(self) -> T:
        """The answer."""
        async with self._asking:
            if self._answer is None or self._clock.monotonic() - self._answer[1] >= self._fresh_s:
                self._answer = (await self._ask(), self._clock.monotonic())
            return self._answer[0]
