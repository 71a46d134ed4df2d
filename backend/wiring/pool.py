"""Model servers, their slots and their queue: of this process alone, or shared through Redis."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from secrets import token_bytes
from uuid import uuid4

from backend.config import Settings, named
from backend.core.aio import Background
from backend.core.clock import Clock
from backend.core.errors import Misconfigured
from backend.infra.http import open_session
from backend.infra.redis import open_redis
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
from backend.wiring.model_servers import configured, engines, made

LISTEN_S = 5.0
"""Longest silence of Redis that the connection for grants bears; it asks for at most one second."""


async def open_pool(
    stack: AsyncExitStack,
    settings: Settings,
    clock: Clock,
    instances: Sequence[Instance] | None,
    background: Background,
    retried: Retried = lambda _: None,
    *,
    secrets: Sequence[bytes] = (),
) -> tuple[Pool, PoolOperator]:
    """The pool, opened, and who may change it.

    `instances` take the place of those that the settings name; `background` owns the tasks of the pool.
    `secrets` seal the credentials of instances that operators add, the first one of them; a process without
    any can use only those that were added to itself.
    """
    section = settings.engine
    spoken = engines(settings, await stack.enter_async_context(open_session()))
    if instances is None:
        instances = configured(settings, spoken)
    slots, board = await _open_slots(stack, settings, clock, background)
    seal = Seal(secrets or [token_bytes()], purpose="instances")
    roster = Registry(instances, board, partial(made, spoken), seal)
    pace = Pace(quarantine_s=section.breaker_open_s, load_s=section.load_s, least_gap_s=section.least_gap_s)
    contexts = Contexts(section.context_tokens)
    controller = Controller(
        roster, slots, board, clock, pace=pace, default_model=section.model, contexts=contexts
    )
    stack.push_async_callback(controller.close)
    await controller.open()
    background.start(controller.run(), name="controller of the pool")
    background.start(controller.watch(), name="silent streams")
    retries = RetryBudget(floor=60, window_s=60.0)  # what fails now was admitted up to a minute ago
    pool = Dispatcher(
        controller, slots, clock,
        waits=Waits(), retries=retries, max_wait_s=section.max_wait_s, retried=retried,
    )  # fmt: skip
    return pool, PoolOperator(roster, controller)


async def _open_slots(
    stack: AsyncExitStack, settings: Settings, clock: Clock, background: Background
) -> tuple[Slots, SharedNotes]:
    url, section = settings.redis.url.get_secret_value(), settings.redis
    if not url:
        return MemorySlots(clock, queue_limit=settings.engine.queue_limit), MemoryNotes()
    process = uuid4().hex
    try:
        redis = await stack.enter_async_context(open_redis(url, timeout_s=section.timeout_s))
        listener = await stack.enter_async_context(open_redis(url, timeout_s=LISTEN_S))
    except Misconfigured as exc:
        raise Misconfigured(f"{named('redis', 'url', section.url)} {exc.message}") from exc
    shared = RedisSlots(
        redis, listener, clock,
        process=process, queue_limit=settings.engine.queue_limit, hold_s=section.hold_s,
    )  # fmt: skip
    link = Link()
    slots = FallbackSlots(shared, link, clock, queue_limit=settings.engine.queue_limit)
    await slots.beat()
    background.start(shared.listen(), name="slots: grants")
    background.start(slots.live(), name="slots: signs of life")
    return slots, FallbackNotes(RedisNotes(redis, process=process), link)
