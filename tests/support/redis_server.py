"""A real Redis for tests: its own process, on a free port, empty, gone at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from devstack import redis
from devstack.redis import RedisServer
from tests.support.needed import missing

__all__ = ["RedisServer", "redis_server"]


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    """A running server; skipped where redis-server is missing, an error in CI."""
    if redis.program() is None:
        missing("redis-server is missing")
    with redis.redis_server() as server:
        yield server
