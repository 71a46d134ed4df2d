"""What the API and the console may use: ports and use cases, ready to call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from backend.chat.runs import Runs
from backend.config import Settings
from backend.corpus.base import Catalogue
from backend.engines.base import Endpoint
from backend.engines.control import ModelControl
from backend.history.base import History
from backend.ingest.service import Ingestion
from backend.pool.base import Instance, Operator, Pool
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
    drain: Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ModelServers:
    """The model servers alone, to look at and to fill.

    Attributes:
        managed: Those whose models `control` manages.
        others: Those that only tell what they have.
    """

    control: ModelControl
    managed: tuple[Endpoint, ...]
    others: tuple[Instance, ...]
