"""The lexical index of a host: made of what is live, by one of the processes that share it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path

from backend.core.clock import Clock
from backend.core.errors import Unavailable
from backend.infra.folder_lock import FolderBusy, hold
from backend.ingest.derive import Derivation

log = logging.getLogger(__name__)

POLL_S = 0.25
"""Between two looks at which documents are live, at least: for so long a change is not seen here."""
_REST = 1
"""Times as long as a look took, so that a large corpus under change does not take the processor."""
_AGAIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Follower:
    """Keeps an index to what SQL holds, once the process before has let go of its folder, however it ended.

    Args:
        folder: Of the index; its lock says who writes.
        derivation: Of this index alone.
    """

    folder: Path
    derivation: Derivation
    clock: Clock

    async def run(self) -> None:
        """Take the lock and follow, until cancelled."""
        while True:
            try:
                with hold(self.folder):
                    log.info("this process keeps the lexical index of the host")
                    await self._follow()
            except FolderBusy:
                await asyncio.sleep(_AGAIN_S)

    async def _follow(self) -> None:
        while True:
            began = self.clock.monotonic()
            try:
                more = await self.catch_up()
            except Unavailable as exc:
                log.warning("the lexical index is behind", extra={"code": exc.code})
                more = False
            took_s = self.clock.monotonic() - began
            await asyncio.sleep(0.0 if more else max(POLL_S, took_s * _REST))

    async def catch_up(self) -> bool:
        """A portion of what every corpus lacks; whether more is to be done at once.

        Raises:
            Unavailable
        """
        more = [await self.derivation.catch_up(corpus) for corpus in await self.derivation.behind()]
        return any(more)
