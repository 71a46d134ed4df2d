"""Redis, which the processes that serve share; without an address each stands alone."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

from backend.config import Settings, named
from backend.core.errors import Misconfigured
from backend.infra.redis import open_redis
from backend.infra.redis_routes import RoutedRedis

LISTEN_S = 5.0
"""Longest silence of Redis that a connection for blocking reads bears; they ask for at most one second."""


@dataclass(frozen=True, slots=True)
class SharedRedis:
    """The clients of one process.

    Attributes:
        commands: Fails fast.
        listener: For blocking reads.
    """

    commands: RoutedRedis
    listener: RoutedRedis


async def open_shared_redis(stack: AsyncExitStack, settings: Settings) -> SharedRedis | None:
    """The clients of the Redis that is set; None: there is none.

    Raises:
        Misconfigured: Its address cannot be used.
    """
    section = settings.redis
    if not (url := section.url.get_secret_value()):
        return None
    try:
        return SharedRedis(
            await stack.enter_async_context(open_redis(url, timeout_s=section.timeout_s)),
            await stack.enter_async_context(open_redis(url, timeout_s=LISTEN_S)),
        )
    except Misconfigured as exc:
        raise Misconfigured(f"{named('redis', 'url', section.url)} {exc.message}") from exc
