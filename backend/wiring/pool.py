"""Model servers, their slots and their queue: of this process alone, or shared through Redis."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from secrets import token_bytes
from uuid import uuid4

from backend.config import Settings
from backend.core.clock import Clock
from backend.core.loops import SHORT_PAUSE_S, Loops
from backend.infra.http import open_session
from backend.pool.base import Instance, Pool
from backend.pool.contexts import Contexts
from backend.pool.controller import Controller, Pace
from backend.pool.dispatch import Dispatcher
from backend.pool.eta import Waits
from backend.pool.fallback import FallbackNotes, FallbackSlots, Link
from backend.pool.operating import PoolOperator
from backend.pool.registry import Registry
from backend.pool.retries import Retried, RetryBudget
from backend.pool.shared_notes.base import SharedNotes
from backend.pool.shared_notes.memory import MemoryNotes
from backend.pool.shared_notes.redis import RedisNotes
from backend.pool.slots.base import Slots
from backend.pool.slots.memory import MemorySlots
from backend.pool.slots.redis import RedisSlots
from backend.security.seal import Seal
from backend.security.server_secret import ServerSecret
from backend.wiring.model_servers import configured, engines, made
from backend.wiring.redis import SharedRedis


async def open_pool(
    stack: AsyncExitStack,
    settings: Settings,
    clock: Clock,
    instances: Sequence[Instance] | None,
    loops: Loops,
    retried: Retried = lambda _: None,
    *,
    redis: SharedRedis | None = None,
    secret: ServerSecret | None = None,
) -> tuple[Pool, PoolOperator]:
    """The pool, opened, and who may change it: of this process alone, or of all that use `redis`.

    `instances` take the place of those that the settings name; `loops` runs those of the pool.
    `secret` seals the credentials of instances that operators add; a process without it can use only those
    that were added to itself.
    """
    section = settings.engine
    spoken = engines(settings, await stack.enter_async_context(open_session()))
    if instances is None:
        instances = configured(settings, spoken)
    slots, notes = await _open_slots(redis, settings, clock, loops)
    seal = Seal(secret.keys("instances") if secret else [token_bytes(32)])
    registry = Registry(instances, notes, partial(made, spoken), seal)
    pace = Pace(quarantine_s=section.breaker_open_s, load_s=section.load_s, least_gap_s=section.least_gap_s)
    contexts = Contexts(section.context_tokens)
    controller = Controller(
        registry, slots, notes, clock, pace=pace, default_model=section.model, contexts=contexts
    )
    stack.push_async_callback(controller.close)
    await controller.open()
    loops.start(controller.run, name="controller of the pool", longest_pause_s=SHORT_PAUSE_S)
    loops.start(controller.watch, name="silent streams", longest_pause_s=SHORT_PAUSE_S)
    retries = RetryBudget(floor=60, window_s=60.0)  # what fails now was admitted up to a minute ago
    pool = Dispatcher(
        controller, slots, clock,
        waits=Waits(), retries=retries, max_wait_s=section.max_wait_s, retried=retried,
    )  # fmt: skip
    return pool, PoolOperator(registry, controller)


async def _open_slots(
    redis: SharedRedis | None, settings: Settings, clock: Clock, loops: Loops
) -> tuple[Slots, SharedNotes]:
    if redis is None:
        return MemorySlots(clock, queue_limit=settings.engine.queue_limit), MemoryNotes()
    process = uuid4().hex
    shared = RedisSlots(
        redis.commands, redis.listener, clock,
        process=process, queue_limit=settings.engine.queue_limit, hold_s=settings.redis.hold_s,
    )  # fmt: skip
    link = Link()
    slots = FallbackSlots(shared, link, clock, queue_limit=settings.engine.queue_limit)
    await slots.beat()
    loops.start(shared.listen, name="slots: grants", longest_pause_s=SHORT_PAUSE_S)
    loops.start(slots.live, name="slots: signs of life", longest_pause_s=SHORT_PAUSE_S)
    return slots, FallbackNotes(RedisNotes(redis.commands, process=process), link)
