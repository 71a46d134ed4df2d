"""Whether a service answers. While it does not, who asks is told at once, and one task looks for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from backend.core.aio import Background
from backend.core.errors import EmbedderUnavailable

log = logging.getLogger(__name__)

PAUSE_S: Final = 0.5
"""Between two looks at a service that is away."""


class Link:
    """Starts unknown: the first callers wait for the first look.

    Args:
        look: Returns if the service answers as it should; has a bound of its own.
        pause_s: Between two looks.
    """

    def __init__(self, look: Callable[[], Awaitable[None]], *, pause_s: float = PAUSE_S) -> None:
        self._look = look
        self._pause_s = pause_s
        self._is_up = False
        self._missing = EmbedderUnavailable()
        self._looked = asyncio.Event()
        self._background = Background()
        self._looking: asyncio.Task[None] | None = None

    async def ready(self) -> None:
        """Return if the service answers.

        Raises:
            EmbedderUnavailable: It does not, as of the last look.
        """
        if self._is_up:
            return
        self._search()
        await self._looked.wait()
        if not self._is_up:
            raise EmbedderUnavailable(self._missing.message, retry_after_s=self._missing.retry_after_s)

    def lost(self, why: EmbedderUnavailable) -> None:
        """It has just been found not to answer."""
        if self._is_up:
            log.warning("the embedding service is away", extra={"event": "embedder_away", "why": why.message})
        self._is_up, self._missing = False, why
        self._looked.set()
        self._search()

    async def close(self) -> None:
        """Look no more."""
        await self._background.close()

    def _search(self) -> None:
        if self._looking is None or self._looking.done():
            self._looking = self._background.start(self._until_found(), name="embedding service")

    async def _until_found(self) -> None:
        while True:
            await self._look_once()
            if self._is_up:
                return
            await asyncio.sleep(self._pause_s)

    async def _look_once(self) -> None:
        try:
            await self._look()
        except EmbedderUnavailable as exc:
            if exc.message != self._missing.message:
                log.warning(
                    "the embedding service is away", extra={"event": "embedder_away", "why": exc.message}
                )
            self._missing = exc
        else:
            self._is_up = True
            log.info("the embedding service answers", extra={"event": "embedder_back"})
        self._looked.set()
