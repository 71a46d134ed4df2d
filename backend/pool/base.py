"""The port of the pool: many instances that act as one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from backend.core.errors import ContextOverflow
from backend.core.instances import InstanceSpec
from backend.core.types import Usage
from backend.engines.base import End, Endpoint, Engine, GenerationRequest, Misplaced, ModelInfo, Text, Thought
from backend.pool.slots.base import Priority

InstanceHealth = Literal["closed", "half_open", "open"]


@dataclass(frozen=True, slots=True)
class Instance:
    """A running model server, and how it is spoken to.

    Attributes:
        id: Stable and unique in the pool, the same in every process; safe to show to an operator and as a
            metric label.
        slots: Generations it serves at once; the pool never sends more.
        models: Names it serves, of the pool; empty means any.
        models_at_once: Models it holds in memory at once.
        loose_names: It takes the names of its models as Ollama does: in any case, and without `:latest`.
    """

    id: str
    endpoint: Endpoint
    engine: Engine
    slots: int
    models: frozenset[str] = frozenset()
    models_at_once: int = 1
    loose_names: bool = False


@dataclass(frozen=True, slots=True)
class Ask:
    """Who wants a slot and until when.

    Attributes:
        subject: Fairness is counted per tenant and subject.
        deadline: `Clock.monotonic()` after which nobody wants the answer.
        affinity: Requests with the same one share a prefix; "" shares none.
    """

    generation: str
    tenant: str
    subject: str
    deadline: float
    priority: Priority = "interactive"
    affinity: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Place in the queue (1 is next) and the expected wait in seconds, from low to high."""

    position: int
    eta_s: float
    eta_high_s: float


@dataclass(frozen=True, slots=True)
class Assigned:
    """A slot is taken; generation begins (again, or goes on, if it comes a second time)."""

    instance: str
    model: str
    engine: str


@dataclass(frozen=True, slots=True)
class Restarted:
    """Text so far is withdrawn: another instance begins anew."""

    reason: str


PoolEvent = Waiting | Assigned | Restarted | Text | Thought | Misplaced | End


@dataclass(frozen=True, slots=True)
class InstanceStatus:
    """What an operator sees of one instance.

    Attributes:
        address: Where it listens, without credentials.
        in_flight: Slots taken now, by all processes.
        serving: How many of them each model has.
        reason: Why it is avoided, or what is odd about it; empty when all is well.
        ready: Models it answers at once; `cold`: those it would have to load.
        loading: The model being loaded there.
        tokens_per_s: Measured speed of one stream.
        on_gpu: Share of what it holds that is on the GPU, in [0, 1].
        contexts: How many tokens a prompt and its answer may have, per model; missing: not told.
    """

    id: str
    kind: str
    slots: int
    in_flight: int
    health: InstanceHealth
    address: str = ""
    serving: Mapping[str, int] = field(default_factory=dict)
    reason: str = ""
    draining: bool = False
    ready: tuple[str, ...] = ()
    cold: tuple[str, ...] = ()
    loading: str | None = None
    tokens_per_s: float | None = None
    on_gpu: float | None = None
    contexts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """The pool as it stands.

    Attributes:
        waiting: Requests in the queue, per model; `batch`: those of them of that priority.
        processes: That share the slots.
        shared: Whether the store they share answers.
    """

    instances: tuple[InstanceStatus, ...] = ()
    waiting: Mapping[str, int] = field(default_factory=dict)
    batch: int = 0
    processes: int = 1
    shared: bool = True


@dataclass(frozen=True, slots=True)
class OfferedModel:
    """A model that can be asked for now.

    Attributes:
        loaded: Whether some instance has it in memory; None when none of them said.
        loose_name: Some instance takes its name in any case, and without `:latest`.
        digests: All that instances tell of what they offer under its name, sorted.
    """

    info: ModelInfo
    loaded: bool | None = None
    loose_name: bool = False
    digests: tuple[str, ...] = ()


class Fit(Protocol):
    """Cuts one request to the context of the instance that it goes to, and learns how its model counts."""

    def cut(self, request: GenerationRequest, context_tokens: int | None) -> GenerationRequest:
        """The request with messages and `max_tokens` that fit together; None: the context is not known.

        `sampling.max_tokens` goes on meaning the whole answer, `request.partial` included.

        Raises:
            ContextOverflow: Not even the question fits.
        """

    def refused(self, error: ContextOverflow) -> bool:
        """The server found what was cut too long; whether a shorter one is worth asking."""

    def answered(self, usage: Usage) -> None:
        """What was cut last was answered, and counted so."""


class Pool(Protocol):
    """All instances as one."""

    def generate(
        self, ask: Ask, request: GenerationRequest, fit: Fit | None = None
    ) -> AsyncGenerator[PoolEvent, None]:
        """Wait for a slot, generate, fail over; the last event is `End`. Closing it gives the slot back.

        What fails before the first piece goes to another instance unseen. After it, another goes on from the
        text so far, or begins anew after a `Restarted`. Each attempt is cut by `fit`, again when it is found
        too long.

        Raises:
            PoolFull: The queue holds its bound, or the wait would outlast the deadline; `retry_after_s` says
                when to come back.
            NoInstance: No instance serves the model, or all that do are down.
            DeadlineExceeded: `ask.deadline` passed.
            EngineError: The last instance tried failed, and no other was left.
        """

    async def admit(self, ask: Ask, model: str) -> None:
        """Refuse what `generate` would refuse at this moment, before anything is spent on it.

        Cheap: nothing is taken, and nothing is promised. A model that nobody serves is no reason to refuse:
        what answers instead is for `generate` to tell.

        Raises:
            PoolFull: As in `generate`.
            DeadlineExceeded: `ask.deadline` passed.
        """

    async def promote(self, generation: str) -> None:
        """Let a batch generation go on as an interactive one; an unknown one is no error."""

    async def models(self) -> tuple[OfferedModel, ...]:
        """The models that can be asked for now, no name twice; empty when no model server answers."""

    async def contexts(self, model: str) -> Mapping[str, int | None]:
        """The context of `model` on each instance that could answer it, in its tokens; None: not told."""

    async def status(self) -> PoolStatus:
        """Every instance, in a stable order, and the queue."""


class Operator(Protocol):
    """What an operator may do to the instances; it holds for all processes.

    All methods raise `SlotsUnavailable`, and change nothing, while the store that processes share is away.
    """

    async def add(self, spec: InstanceSpec) -> None:
        """Put an instance into service; of credentials it gets those of `spec`, or none.

        Raises:
            Conflict: The id or the address is taken.
            InvalidRequest: It is no instance; says why.
        """

    async def drain(self, id: str) -> None:
        """Let an instance finish what runs there and take no more.

        Raises:
            NotFound: No such instance.
        """

    async def resume(self, id: str) -> None:
        """Let a drained instance take requests again.

        Raises:
            NotFound: No such instance.
        """

    async def remove(self, id: str) -> None:
        """Take an instance out; what runs there is finished.

        Raises:
            NotFound: No such instance.
        """
