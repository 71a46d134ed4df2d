"""The port of the pool: many instances that act as one."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Literal, Protocol

from backend.engines.base import End, Endpoint, Engine, GenerationRequest, ModelInfo, Text, Thought

Priority = Literal["interactive", "batch"]
InstanceHealth = Literal["closed", "half_open", "open"]


@dataclass(frozen=True, slots=True)
class Instance:
    """A running model server, and how it is spoken to.

    Attributes:
        id: Stable and unique in the pool; safe to show to an operator and as a metric label.
        slots: Generations it serves at once; the pool never sends more.
        models: Names it serves; empty means any.
    """

    id: str
    endpoint: Endpoint
    engine: Engine
    slots: int
    models: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Ask:
    """Who wants a slot and until when.

    Attributes:
        subject: Fairness is counted per tenant and subject.
        deadline: `Clock.monotonic()` after which nobody wants the answer.
    """

    generation: str
    tenant: str
    subject: str
    deadline: float
    priority: Priority = "interactive"


@dataclass(frozen=True, slots=True)
class Waiting:
    """Place in the queue (1 is next) and the expected wait in seconds, from low to high."""

    position: int
    eta_s: float
    eta_high_s: float


@dataclass(frozen=True, slots=True)
class Assigned:
    """A slot is taken; generation begins (again, if it comes a second time)."""

    instance: str
    model: str
    engine: str


@dataclass(frozen=True, slots=True)
class Restarted:
    """Text so far is withdrawn: another instance begins anew."""

    reason: str


PoolEvent = Waiting | Assigned | Restarted | Text | Thought | End


@dataclass(frozen=True, slots=True)
class InstanceState:
    """What an operator sees of one instance."""

    id: str
    engine: str
    slots: int
    in_flight: int
    health: InstanceHealth
    reason: str = ""


@dataclass(frozen=True, slots=True)
class OfferedModel:
    """A model that can be asked for now.

    Attributes:
        loaded: Whether some instance has it in memory; None when none of them said.
    """

    info: ModelInfo
    loaded: bool | None = None


class Pool(Protocol):
    """All instances as one."""

    def generate(self, ask: Ask, request: GenerationRequest) -> AsyncGenerator[PoolEvent, None]:
        """Wait for a slot, generate, fail over; the last event is `End`. Closing it gives the slot back.

        Raises:
            PoolFull: The queue holds its bound; `retry_after_s` says when to come back.
            NoInstance: No instance serves the model, or all that do are down.
            DeadlineExceeded: `ask.deadline` passed.
            EngineError: The last instance tried failed, and no other was left.
        """

    async def models(self) -> tuple[OfferedModel, ...]:
        """The models that can be asked for now, no name twice; empty when no model server answers."""

    def state(self) -> tuple[InstanceState, ...]:
        """Every instance, in a stable order."""
