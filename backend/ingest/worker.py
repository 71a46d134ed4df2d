"""Takes corpora that have work, one at a time, each under its lease."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from backend.core.aio import first_of_group, to_the_end
from backend.core.clock import Clock
from backend.core.errors import Conflict, LibriError, StorageUnavailable, Unavailable
from backend.corpus.base import CorpusRef, WritableCatalogue
from backend.ingest.derive import Derivation
from backend.ingest.jobs import JobStore, Leases
from backend.ingest.pipeline import Pipeline

log = logging.getLogger(__name__)

_Act = Callable[[CorpusRef, str], Coroutine[Any, Any, None]]

LONGEST_RETRY_S = 60.0
SWEEP_EVERY_S = 3600.0


@dataclass(frozen=True, slots=True)
class Pace:
    """Durations of the worker, in seconds; see `config.Ingest`."""

    lease_s: float = 30.0
    poll_s: float = 2.0
    retry_s: float = 5.0
    grace_s: float = 2.0
    keep_s: float = 7 * 86400.0


@dataclass(slots=True)
class Worker:
    """Works on ingestions of all tenants; any number of workers may run, in any number of processes."""

    catalogue: WritableCatalogue
    jobs: JobStore
    leases: Leases
    pipeline: Pipeline
    derivation: Derivation
    clock: Clock
    pace: Pace = field(default_factory=Pace)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _retries: dict[CorpusRef, int] = field(default_factory=dict)
    _swept: float | None = None

    def wake(self) -> None:
        """There is work now."""
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled; a cancelled worker leaves its corpus to the others at once."""
        while True:
            self._wake.clear()
            try:
                await self.tick()
            except Unavailable as exc:
                log.warning("the ingest worker waits", extra={"code": exc.code})
            with suppress(TimeoutError):
                async with asyncio.timeout(self.pace.poll_s):
                    await self._wake.wait()

    async def tick(self) -> None:
        """A portion of what an index lacks, a page of every corpus that has work, until none has.

        Raises:
            StorageUnavailable
        """
        await self._sweep()
        for corpus in await self.derivation.behind():
            await self.follow(corpus)
        while due := await self.jobs.due():
            worked = [await self._try(corpus) for corpus in due]
            if not any(worked):
                break
        for corpus in await self.catalogue.untidy(older_than_s=self.pace.grace_s):
            await self.tidy(corpus)

    async def follow(self, corpus: CorpusRef) -> None:
        """Bring this process's indexes closer to SQL; left for later if that cannot be done now.

        Raises:
            StorageUnavailable
        """
        try:
            await self._leased(corpus, self._catch_up)
        except StorageUnavailable:
            raise
        except LibriError as exc:
            log.warning("an index is behind", extra={"code": exc.code})

    async def _catch_up(self, corpus: CorpusRef, owner: str) -> None:
        if await self.derivation.catch_up(corpus):
            self.wake()

    async def work(self, corpus: CorpusRef) -> bool:
        """A page of the items of one corpus; False if another worker has it.

        Raises:
            Unavailable: Something is down or full; the work goes back to the queue, to be tried later.
        """
        return await self._leased(corpus, self._process)

    async def tidy(self, corpus: CorpusRef) -> None:
        """Remove passages that are no longer live; left for later if that cannot be done now."""
        try:
            await self._leased(corpus, self._tidy)
        except Unavailable as exc:
            log.warning("old passages are removed later", extra={"code": exc.code})

    async def _try(self, corpus: CorpusRef) -> bool:
        try:
            return await self.work(corpus)
        except StorageUnavailable:
            raise
        except LibriError as exc:
            log.warning("an ingestion waits", extra={"code": exc.code})
            return False

    async def _process(self, corpus: CorpusRef, owner: str) -> None:
        try:
            await self.derivation.begin(corpus)
            await self.pipeline.run(corpus, owner)
            # What waits will replace what an index may lack: after a change of the embedder, everything.
            if not await self.jobs.waiting_names(corpus):
                await self._catch_up(corpus, owner)
        except Unavailable as exc:
            await self._postpone(corpus, exc)
            raise
        except asyncio.CancelledError:  # an orderly end is no failed attempt
            with suppress(Unavailable):
                await self.jobs.postpone(corpus, "", 0.0)
            raise
        self._retries.pop(corpus, None)

    async def _tidy(self, corpus: CorpusRef, owner: str) -> None:
        await self.derivation.tidy(corpus, older_than_s=self.pace.grace_s)

    async def _postpone(self, corpus: CorpusRef, exc: Unavailable) -> None:
        tries = self._retries.get(corpus, 0)
        self._retries[corpus] = min(tries + 1, 16)
        wait_s = min(self.pace.retry_s * 2**tries, LONGEST_RETRY_S)
        if exc.retry_after_s is not None:  # whoever is away says when it may be back
            wait_s = min(wait_s, max(self.pace.retry_s, exc.retry_after_s))
        with suppress(Unavailable):  # then it stays as it is, and is tried again at the next poll
            await self.jobs.postpone(corpus, exc.code, self.clock.now() + wait_s)

    async def _leased(self, corpus: CorpusRef, act: _Act) -> bool:
        owner = secrets.token_hex(8)
        try:
            if not await self.leases.take(corpus, owner, self.pace.lease_s):
                return False
            with first_of_group():
                await self._while_kept(corpus, owner, act)
        except Conflict:
            log.warning("another worker has taken over")
        finally:
            with suppress(Unavailable):  # it lapses
                await to_the_end(self.leases.release(corpus, owner))
        return True

    async def _while_kept(self, corpus: CorpusRef, owner: str, act: _Act) -> None:
        async with asyncio.TaskGroup() as group:
            keeper = group.create_task(self._keep(corpus, owner))
            await act(corpus, owner)
            keeper.cancel()

    async def _keep(self, corpus: CorpusRef, owner: str) -> None:
        """Renew the lease for ever.

        Raises:
            Conflict: It is lost, or may be.
        """
        sure_until = self.clock.monotonic() + self.pace.lease_s
        while True:
            await asyncio.sleep(self.pace.lease_s / 3)
            asked = self.clock.monotonic()
            try:
                kept = await self.leases.renew(corpus, owner, self.pace.lease_s)
                sure_until = asked + self.pace.lease_s
            except Unavailable:
                kept = self.clock.monotonic() < sure_until - self.pace.lease_s / 3
            if not kept:
                raise Conflict("the lease of the corpus is lost")

    async def _sweep(self) -> None:
        now = self.clock.monotonic()
        if self._swept is None or now - self._swept >= SWEEP_EVERY_S:
            self._swept = now
            await self.jobs.sweep(ended_before=self.clock.now() - self.pace.keep_s)
