"""For operators: the model servers as one pool; what is changed here holds for all processes."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from backend.api.deps import OperatorDep, ServicesDep
from backend.api.strict import Body, JsonBody
from backend.core.errors import NotFound
from backend.core.instances import MAX_SLOTS, InstanceSpec, Kind
from backend.core.model_names import LONGEST_NAME
from backend.pool.base import InstanceHealth, PoolStatus
from backend.services import Services

router = APIRouter(prefix="/api/v1/admin/pool", tags=["admin"])
MAX_NAMES = 200

Name = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_NAME)]

_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_HOST = r"([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])"
_URL = rf"^https?://([A-Za-z0-9._~%!$&'()*+,;=:-]*@)?{_HOST}(:[0-9]{{1,5}})?(/[A-Za-z0-9._~/-]*)?$"


class NewInstance(Body):
    """A model server to put into service.

    Attributes:
        id: Its name from now on: in URLs, metrics and logs.
        url: Its base URL; may hold a name and a password, which are never shown.
        kind: How it is spoken to; `engine` is accepted for it.
        key: Sent to it as a bearer token, and shown nowhere; not beside a password in `url`.
        models: Names it is meant to serve; empty: whatever it lists.
        served_names: By our name of a model, what it is called there.
        models_at_once: Models it holds in memory at once.
        slots: Generations it serves at once.
    """

    id: Annotated[str, StringConstraints(pattern=_ID)]
    url: Annotated[str, StringConstraints(max_length=300, pattern=_URL)]
    kind: Annotated[Kind, Field(validation_alias=AliasChoices("kind", "engine"))]
    key: Annotated[SecretStr, Field(max_length=4096)] = SecretStr("")
    slots: Annotated[int, Field(ge=1, le=MAX_SLOTS)] = 1
    models: Annotated[tuple[Name, ...], Field(max_length=MAX_NAMES)] = ()
    served_names: Annotated[dict[Name, Name], Field(max_length=MAX_NAMES)] = Field(default_factory=dict)
    models_at_once: Annotated[int, Field(ge=1, le=MAX_SLOTS)] = 1

    def spec(self) -> InstanceSpec:
        """As the pool takes it."""
        return InstanceSpec(
            id=self.id,
            kind=self.kind,
            url=self.url,
            key=self.key.get_secret_value(),
            slots=self.slots,
            models=frozenset(self.models),
            served_names=self.served_names,
            models_at_once=self.models_at_once,
        )


class InstanceShown(BaseModel):
    """One instance; null is what is not known.

    Attributes:
        address: Where it listens, without credentials.
        reason: Why it is avoided, or what is odd about it; docs/operations.md says what to do.
        in_flight: Slots taken now, by all processes.
        serving: How many of them each model has.
        ready: Models it answers at once; "*" stands for any.
        cold: Models it would have to load first.
        tokens_per_s: Measured speed of one stream.
        on_gpu: Share of what it holds that is on the GPU, in [0, 1].
        contexts: How many tokens a prompt and its answer may have there, per model.
    """

    model_config = ConfigDict(frozen=True, from_attributes=True)

    id: str
    kind: str
    address: str
    health: InstanceHealth
    reason: str
    draining: bool
    slots: int
    in_flight: int
    serving: dict[str, int]
    ready: tuple[str, ...]
    cold: tuple[str, ...]
    loading: str | None
    tokens_per_s: float | None
    on_gpu: float | None
    contexts: dict[str, int]


class QueueShown(BaseModel):
    """Requests waiting for a slot: per model, and how many of them all are of the batch class."""

    model_config = ConfigDict(frozen=True)

    models: dict[str, int]
    total: int
    batch: int


class PoolShown(BaseModel):
    """The pool as it stands.

    Attributes:
        processes: That share the slots.
        shared: False while the store they share is away: each then uses its own part of the slots.
    """

    model_config = ConfigDict(frozen=True)

    instances: tuple[InstanceShown, ...]
    queue: QueueShown
    processes: int
    shared: bool

    @classmethod
    def of(cls, state: PoolStatus) -> PoolShown:
        """As an operator sees it."""
        queue = QueueShown(models=dict(state.waiting), total=sum(state.waiting.values()), batch=state.batch)
        instances = tuple(InstanceShown.model_validate(one) for one in state.instances)
        return cls(instances=instances, queue=queue, processes=state.processes, shared=state.shared)


@router.get("")
async def pool(services: ServicesDep, who: OperatorDep) -> PoolShown:
    """Every instance, and the queue."""
    return PoolShown.of(await services.pool.status())


@router.post("/instances", status_code=201)
async def add(services: ServicesDep, who: OperatorDep, body: JsonBody[NewInstance]) -> InstanceShown:
    """Put an instance into service; it is looked at before this answers, and may be down."""
    await services.operator.add(body.spec())
    return await _shown(services, body.id)


@router.post("/instances/{instance_id}/drain")
async def drain(services: ServicesDep, who: OperatorDep, instance_id: str) -> InstanceShown:
    """Let an instance finish what runs there and take no more."""
    await services.operator.drain(instance_id)
    return await _shown(services, instance_id)


@router.post("/instances/{instance_id}/resume")
async def resume(services: ServicesDep, who: OperatorDep, instance_id: str) -> InstanceShown:
    """Let a drained instance take requests again."""
    await services.operator.resume(instance_id)
    return await _shown(services, instance_id)


@router.delete("/instances/{instance_id}", status_code=204)
async def remove(services: ServicesDep, who: OperatorDep, instance_id: str) -> None:
    """Take an instance out; what runs there is finished."""
    await services.operator.remove(instance_id)


async def _shown(services: Services, instance_id: str) -> InstanceShown:
    for one in (await services.pool.status()).instances:
        if one.id == instance_id:
            return InstanceShown.model_validate(one)
    raise NotFound("the instance was removed meanwhile")
