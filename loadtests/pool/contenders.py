"""The pools that are compared. Each is made in every client process, by a factory named in the job.

A factory takes a `Site` and is an async context manager, e.g. `loadtests.pool.contenders:naive`.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Protocol

from backend.config import Settings
from backend.core.aio import Background
from backend.core.clock import SystemClock
from backend.core.loops import Loops
from backend.engines.base import Endpoint, GenerationRequest
from backend.pool.base import Ask, Instance, PoolEvent
from backend.wiring.pool import open_pool
from backend.wiring.redis import open_shared_redis
from loadtests.pool.choices import AtRandom, InTurns, LeastLoaded
from loadtests.pool.unqueued import Unqueued


class Contender(Protocol):
    """The half of the pool's port that serves readers."""

    def generate(self, ask: Ask, request: GenerationRequest) -> AsyncGenerator[PoolEvent, None]:
        """As `backend.pool.base.Pool.generate`."""


@dataclass(frozen=True, slots=True)
class Site:
    """What a client process gives the contender it makes.

    Attributes:
        process: Number of this process, from 0.
        front_url: A proxy before all instances; "" where there is none.
        redis_url: "" where there is none.
        queue_limit, quarantine_s, max_wait_s: As in the settings of the application.
    """

    instances: tuple[Instance, ...]
    process: int
    front_url: str = ""
    redis_url: str = ""
    queue_limit: int = 512
    quarantine_s: float = 30.0
    max_wait_s: float = 600.0


Factory = Callable[[Site], AbstractAsyncContextManager[Contender]]


def factory(name: str) -> Factory:
    """The factory called `module:function`."""
    module, _, function = name.partition(":")
    made: Factory = getattr(import_module(module), function)
    return made


@asynccontextmanager
async def naive(site: Site) -> AsyncIterator[Contender]:
    """Least loaded by this process's own count."""
    yield Unqueued(site.instances, LeastLoaded(random.Random(site.process)), SystemClock())


@asynccontextmanager
async def round_robin(site: Site) -> AsyncIterator[Contender]:
    yield Unqueued(site.instances, InTurns(), SystemClock())


@asynccontextmanager
async def random_choice(site: Site) -> AsyncIterator[Contender]:
    yield Unqueued(site.instances, AtRandom(random.Random(site.process)), SystemClock())


@asynccontextmanager
async def nginx(site: Site) -> AsyncIterator[Contender]:
    """All goes to the proxy, which chooses."""
    front = replace(site.instances[0], id="nginx", endpoint=Endpoint(site.front_url), models=frozenset())
    yield Unqueued((front,), InTurns(), SystemClock())


@asynccontextmanager
async def ours(site: Site) -> AsyncIterator[Contender]:
    """Our pool, put together as the application does; without a Redis, for one process."""
    settings = Settings(
        redis={"url": site.redis_url},
        engine={
            "queue_limit": site.queue_limit,
            "breaker_open_s": site.quarantine_s,
            "max_wait_s": site.max_wait_s,
        },
    )
    async with AsyncExitStack() as stack:
        background = Background()
        redis = await open_shared_redis(stack, settings)
        loops = Loops(background, SystemClock())
        pool, _ = await open_pool(stack, settings, SystemClock(), site.instances, loops, redis=redis)
        try:
            yield pool
        finally:
            await background.close()
