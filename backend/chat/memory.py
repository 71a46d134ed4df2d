"""Runs in this process."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field

from backend.chat.base import Idempotency, Run
from backend.core.clock import Clock
from backend.core.errors import Conflict, NotFound
from backend.history.base import Owner

STARTING_S = 10.0
"""Longest that a repeated request waits for the first one to be started."""


@dataclass(slots=True)
class _Claim:
    body: str
    run: str
    made: float
    settled: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class MemoryRuns:
    """Runs of one process, forgotten after `retention_s` or beyond `limit`, the oldest first."""

    clock: Clock
    retention_s: float
    limit: int = 50_000
    _runs: OrderedDict[str, tuple[float, Run]] = field(default_factory=OrderedDict)
    _starting: dict[str, _Claim] = field(default_factory=dict)
    _claims: OrderedDict[tuple[Owner, str], _Claim] = field(default_factory=OrderedDict)

    async def claim(self, owner: Owner, run: str, idempotency: Idempotency | None) -> Run | None:
        """See `RunStore`."""
        self._forget_old()
        if idempotency is None:
            return None
        try:
            async with asyncio.timeout(STARTING_S):
                while (claim := self._claimed(owner, run, idempotency)).run != run:
                    if (started := self._runs.get(claim.run)) is not None:
                        return started[1]
                    await claim.settled.wait()
        except TimeoutError:
            raise Conflict("the first request with this Idempotency-Key is still starting") from None
        self._starting[run] = claim
        return None

    def _claimed(self, owner: Owner, run: str, idempotency: Idempotency) -> _Claim:
        fresh = _Claim(idempotency.body, run, self.clock.monotonic())
        claim = self._claims.setdefault((owner, idempotency.key), fresh)
        if claim.body != idempotency.body:
            raise Conflict("this Idempotency-Key came with another request")
        return claim

    async def put(self, run: Run) -> None:
        """See `RunStore`."""
        self._runs[run.id] = (self.clock.monotonic(), run)
        self._settle(run.id)

    async def release(self, owner: Owner, run: str, idempotency: Idempotency | None) -> None:
        """See `RunStore`."""
        if idempotency is not None:
            claim = self._claims.get((owner, idempotency.key))
            if claim is not None and claim.run == run:
                del self._claims[owner, idempotency.key]
        self._settle(run)

    def _settle(self, run: str) -> None:
        if (claim := self._starting.pop(run, None)) is not None:
            claim.settled.set()

    async def get(self, owner: Owner, run: str) -> Run:
        """See `RunStore`."""
        _, found = self._runs.get(run, (0.0, None))
        if found is None or found.owner != owner:
            raise NotFound("no such run")
        return found

    def _forget_old(self) -> None:
        limit = self.clock.monotonic() - self.retention_s
        while self._runs and (len(self._runs) > self.limit or next(iter(self._runs.values()))[0] <= limit):
            self._runs.popitem(last=False)
        while self._claims and (
            len(self._claims) > self.limit or next(iter(self._claims.values())).made <= limit
        ):
            self._claims.popitem(last=False)
