"""The live views of this process: kept in memory, compared with SQL at most once a second."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from backend.core.aio import soon
from backend.core.clock import Clock
from backend.core.errors import StorageUnavailable
from backend.corpus.base import CorpusRef, LiveView

_PATIENCE_S = 0.5  # a database that hangs must not hold up an answer
_FIRST_S = 3.0

Read = Callable[[CorpusRef], Awaitable[LiveView]]
ReadVersion = Callable[[CorpusRef], Awaitable[str]]


@dataclass(slots=True)
class _Kept:
    view: LiveView
    checked: float


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
        self._looking: dict[CorpusRef, asyncio.Lock] = {}

    async def get(self, corpus: CorpusRef) -> LiveView:
        """The view; an old one while SQL does not answer.

        Raises:
            StorageUnavailable: Never loaded, and SQL does not answer.
        """
        kept = self._kept.get(corpus)
        if kept is None:
            return await self._first(corpus)
        if self._is_old(kept):
            async with self._looking.setdefault(corpus, asyncio.Lock()):  # one looks, and all wait for it
                if self._is_old(self._kept.get(corpus, kept)):
                    await self._look(corpus, kept)
        return self._kept[corpus].view if corpus in self._kept else kept.view

    async def _look(self, corpus: CorpusRef, kept: _Kept) -> None:
        with suppress(StorageUnavailable, TimeoutError):
            await soon(_PATIENCE_S, self._refresh(corpus, kept))
        kept.checked = self._clock.monotonic()  # if SQL hangs, the next ones use what is there

    def _is_old(self, kept: _Kept) -> bool:
        return self._clock.monotonic() - kept.checked >= self._max_age_s

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
        if await self._read_version(corpus) != kept.view.version:
            await self._load(corpus)

    async def _load(self, corpus: CorpusRef) -> LiveView:
        change, started = self._changes.get(corpus, 0), self._clock.monotonic()
        view = await self._read(corpus)
        if self._changes.get(corpus, 0) == change:
            self._kept[corpus] = _Kept(view, started)
            return view
        kept = self._kept.get(corpus)  # a change of ours was faster than this read
        return kept.view if kept is not None else await self._load(corpus)
