"""Runs in this process."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from backend.chat.base import Idempotency, Run
from backend.core.clock import Clock
from backend.core.errors import Conflict, NotFound
from backend.history.base import Owner

STARTING_S = 10.0
"""Longest that a repeated request waits for the first one to be started."""


@dataclass(slots=True, eq=False)
class Claim:
    """A key that a run took.

    Attributes:
        made: When, by the process's clock.
        settled: The run is started, or will not be.
    """

    owner: Owner
    idempotency: Idempotency
    run: str
    made: float
    settled: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True)
class Kept:
    """A run, since when, and the key that it was asked for with, if there was one."""

    run: Run
    since: float
    claim: Claim | None


@dataclass(slots=True)
class MemoryRuns:
    """Runs of one process, forgotten after `retention_s` or beyond `limit`, the oldest first.

    Args:
        starting_s: Longest that a repeated request waits for the first one.
    """

    clock: Clock
    retention_s: float
    limit: int = 50_000
    starting_s: float = STARTING_S
    _runs: OrderedDict[str, Kept] = field(default_factory=OrderedDict)
    _starting: dict[str, Claim] = field(default_factory=dict)
    _claims: OrderedDict[tuple[Owner, str], Claim] = field(default_factory=OrderedDict)

    async def claim(self, owner: Owner, run: str, idempotency: Idempotency | None) -> Run | None:
        """See `RunStore`."""
        self.forget_old()
        if idempotency is None:
            return None
        try:
            async with asyncio.timeout(self.starting_s):
                while (claim := self._claimed(owner, run, idempotency)).run != run:
                    if (started := self.known(claim.run)) is not None:
                        return started
                    await claim.settled.wait()
        except TimeoutError:
            raise Conflict("the first request with this Idempotency-Key is still starting") from None
        self._starting[run] = claim
        return None

    def _claimed(self, owner: Owner, run: str, idempotency: Idempotency) -> Claim:
        fresh = Claim(owner, idempotency, run, self.clock.monotonic())
        claim = self._claims.setdefault((owner, idempotency.key), fresh)
        if claim.idempotency.body != idempotency.body:
            raise Conflict("this Idempotency-Key came with another request")
        return claim

    async def put(self, run: Run) -> None:
        """See `RunStore`."""
        self.keep(run)

    def keep(self, run: Run) -> Kept:
        """Keep a run, and the key that was claimed for it."""
        claim = self._starting.pop(run.id, None)
        kept = self._runs[run.id] = Kept(run, self.clock.monotonic(), claim)
        if claim is not None:
            claim.settled.set()
        return kept

    async def release(self, owner: Owner, run: str, idempotency: Idempotency | None) -> None:
        """See `RunStore`."""
        if idempotency is not None:
            claim = self._claims.get((owner, idempotency.key))
            if claim is not None and claim.run == run:
                del self._claims[owner, idempotency.key]
        if (starting := self._starting.pop(run, None)) is not None:
            starting.settled.set()

    async def get(self, owner: Owner, run: str) -> Run:
        """See `RunStore`."""
        found = self.known(run)
        if found is None or found.owner != owner:
            raise NotFound("no such run")
        return found

    def known(self, run: str) -> Run | None:
        """The run, whoever's it is."""
        kept = self._runs.get(run)
        return kept.run if kept else None

    def starting(self) -> Sequence[Claim]:
        """Keys whose runs are being started."""
        return list(self._starting.values())

    def newest(self, many: int) -> Iterator[Kept]:
        """The latest runs, the last one first."""
        return islice(reversed(self._runs.values()), many)

    def forget_old(self) -> None:
        """Drop what has been kept for long enough."""
        limit = self.clock.monotonic() - self.retention_s
        while self._runs and (len(self._runs) > self.limit or next(iter(self._runs.values())).since <= limit):
            self._runs.popitem(last=False)
        while self._claims and (
            len(self._claims) > self.limit or next(iter(self._claims.values())).made <= limit
        ):
            self._claims.popitem(last=False)
