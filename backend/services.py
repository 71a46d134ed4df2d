"""What the API and the console may use: ports and use cases, ready to call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from backend.chat.runs import Runs
from backend.config import Settings
from backend.corpus.base import Catalogue
from backend.history.base import History
from backend.ingest.service import Ingestion
from backend.pool.base import Operator, Pool
from backend.security.base import KeyStore
from backend.security.identity import Identity
from backend.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Health:
    """State of one thing we stand on.

    Attributes:
        needed: Without it no question can be answered.
        detail: For an operator; no secret.

    """

    ok: bool
    needed: bool
    latency_s: float
    detail: str = ""


Check = Callable[[], Awaitable[Health]]
"""Answers within seconds, whatever hangs."""


@dataclass(frozen=True, slots=True)
class Services:
    """One process's services. Opened and closed by `wiring`."""

    settings: Settings
    runs: Runs
    history: History
    catalogue: Catalogue
    ingestion: Ingestion
    pool: Pool
    operator: Operator
    keys: KeyStore
    identity: Identity
    metrics: Metrics
    checks: Mapping[str, Check]
    readiness: Callable[[], Awaitable[Mapping[str, Health]]]
    """Every check, remembered for a moment: anybody may ask, and the embedder is among them."""
    drain: Callable[[float], Awaitable[None]]
    """Take leave of the answers that this process writes: they get so many seconds, or go to another."""
    leaving: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the answers go on elsewhere: who follows one here has to come back."""

    async def leave(self, grace_s: float) -> None:
        """The process stops. Where others can go on, nobody waits for an answer to end here."""
        await self.drain(grace_s)
        if self.settings.redis.url.get_secret_value():
            self.leaving.set()

    async def checked(self) -> Mapping[str, Health]:
        """Every check, now."""
        return await checked(self.checks)


async def checked(checks: Mapping[str, Check]) -> Mapping[str, Health]:
    """The result of every check; each keeps to its own time."""
    results = await asyncio.gather(*(check() for check in checks.values()))
    return dict(zip(checks, results, strict=True))
