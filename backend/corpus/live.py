"""The live views of this process: kept in memory, compared with SQL at most once a second."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from backend.core.aio import soon
from backend.core.clock import Clock
from backend.core.errors import StorageUnavailable
from backend.corpus.base import CorpusRef, LiveView

log = logging.getLogger(__name__)

_PATIENCE_S = 0.5  # a database that hangs must not hold up an answer
_FIRST_S = 3.0

Read = Callable[[CorpusRef], Awaitable[LiveView]]
ReadVersion = Callable[[CorpusRef], Awaitable[str]]


@dataclass(slots=True)
class _Kept:
    """A view, when it was last known to be right, and when that was last looked for."""

    view: LiveView
    checked: float
    looked: float = float("-inf")


class LiveViews:
    """What `Catalogue.live` answers from.

    Args:
        read: Loads a view from SQL.
        read_version: Loads only the version; what is done when nothing changed.
        max_age_s: A change by another process is seen within this time.
    """

    def __init__(
        self, clock: Clock, read: Read, read_version: ReadVersion, *, max_age_s: float = 1.0
    ) -> None:
        self._clock = clock
        self._read = read
        self._read_version = read_version
        self._max_age_s = max_age_s
        self._kept: dict[CorpusRef, _Kept] = {}
        self._changes: dict[CorpusRef, int] = {}
        self._looking: dict[CorpusRef, asyncio.Task[None]] = {}

    async def get(self, corpus: CorpusRef) -> LiveView:
        """The view; an old one while SQL does not answer.

        Raises:
            StorageUnavailable: Never loaded, and SQL does not answer.
        """
        kept = self._kept.get(corpus)
        if kept is None:
            return await self._first(corpus)
        if self._clock.monotonic() - kept.checked >= self._max_age_s:
            await self._looked(corpus, kept)
        return self._kept[corpus].view if corpus in self._kept else kept.view

    async def _looked(self, corpus: CorpusRef, kept: _Kept) -> None:
        """Wait for the look at SQL that is under way, or for a new one if the last is a second ago.

        After an hour without questions the view is an hour old: all who come together wait for the one look.
        A database that is slow is waited for once; the look goes on, for those who come later.
        """
        now = self._clock.monotonic()
        if (looking := self._looking.get(corpus)) is None:
            if now - kept.looked < self._max_age_s:
                return
            kept.looked = now
            self._looking[corpus] = looking = asyncio.ensure_future(self._look(corpus, kept))
        await asyncio.wait({looking}, timeout=max(0.0, kept.looked + _PATIENCE_S - now))

    async def _look(self, corpus: CorpusRef, kept: _Kept) -> None:
        try:
            await soon(_FIRST_S, self._refresh(corpus, kept))
        except (StorageUnavailable, TimeoutError):
            log.info("the database does not tell what is live: the view of before is used")
        finally:
            self._looking.pop(corpus, None)

    async def _first(self, corpus: CorpusRef) -> LiveView:
        try:
            return await soon(_FIRST_S, self._load(corpus))
        except TimeoutError as exc:
            raise StorageUnavailable("the database does not answer") from exc

    def changed(
        self, corpus: CorpusRef, before: str, after: str, *, out: str | None, into: str | None
    ) -> None:
        """This process changed the corpus: `out` is no longer live, `into` is."""
        self._changes[corpus] = self._changes.get(corpus, 0) + 1
        kept = self._kept.pop(corpus, None)
        if kept is not None and kept.view.version == before:
            revisions = (kept.view.revisions - {out}) | ({into} if into else set())
            self._kept[corpus] = _Kept(LiveView(after, frozenset(revisions)), self._clock.monotonic())

    def forget(self, corpus: CorpusRef) -> None:
        """The corpus may have changed; load it again before the next answer."""
        self._changes[corpus] = self._changes.get(corpus, 0) + 1
        self._kept.pop(corpus, None)

    async def _refresh(self, corpus: CorpusRef, kept: _Kept) -> None:
        started = self._clock.monotonic()
        if await self._read_version(corpus) == kept.view.version:
            kept.checked = started
        else:
            await self._load(corpus)

    async def _load(self, corpus: CorpusRef) -> LiveView:
        change, started = self._changes.get(corpus, 0), self._clock.monotonic()
        view = await self._read(corpus)
        if self._changes.get(corpus, 0) == change:
            self._kept[corpus] = _Kept(view, started)
            return view
        kept = self._kept.get(corpus)  # a change of ours was faster than this read
        return kept.view if kept is not None else await self._load(corpus)
