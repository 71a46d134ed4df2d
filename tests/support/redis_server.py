"""A real Redis for tests: its own process, on a free port, empty, gone at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from devstack import redis
from devstack.redis import RedisCluster, RedisServer
from tests.support.needed import missing

__all__ = ["RedisCluster", "RedisServer", "redis_cluster", "redis_server"]


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    """A running server; skipped where redis-server is missing, an error in CI."""
    _needed()
    with redis.redis_server() as server:
        yield server


@contextmanager
def redis_cluster() -> Iterator[RedisCluster]:
    """Three running servers that share the keys; skipped as `redis_server` is."""
    _needed()
    with redis.redis_cluster() as cluster:
        yield cluster


def _needed() -> None:
    if redis.program() is None:
        missing("redis-server is missing")
