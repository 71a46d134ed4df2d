"""One Redis server, as a client that bounds whole commands and pipelines itself.

The library would bound writing by `asyncio.wait_for`, which before Python 3.12 swallows a cancellation that
comes as the write ends (CPython issue 86296): a reader who left would go on being served, and a process that
is told to stop would not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

T = TypeVar("T")


class Node(Redis):
    """A server; each command takes at most `limit_s`, connecting included, and nothing is tried twice."""

    def __init__(self, pool: ConnectionPool, limit_s: float) -> None:
        super().__init__(connection_pool=pool)
        self.limit_s = limit_s

    @property
    def address(self) -> tuple[str, int]:
        """Host and port, as they were given."""
        at = self.connection_pool.connection_kwargs
        return str(at.get("host", "localhost")), int(at.get("port", 6379))

    def beside(self, address: tuple[str, int]) -> Node:
        """A server at another address, spoken to in the same way."""
        pool, (host, port) = self.connection_pool, address
        options = {**pool.connection_kwargs, "host": host, "port": port}
        return Node(ConnectionPool(connection_class=pool.connection_class, **options), self.limit_s)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """As the library's, within `limit_s`."""
        return await self.bounded(super().execute_command(*args, **options))  # type: ignore[no-untyped-call]

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        """As the library's, within `limit_s`."""
        return BoundedPipeline(self, transaction=transaction)

    async def bounded(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns, within `limit_s`.

        The limit comes in two halves, so that the answer is read first when it was this process that stood
        still: with one timer, a stall of the event loop looks like a server that is away. When a connection
        breaks, the idle ones are closed too: each would fail one more command when the server is back.
        """
        loop, half_s = asyncio.get_running_loop(), self.limit_s / 2
        try:
            async with asyncio.timeout(None) as limit:
                again = loop.call_later(half_s, lambda: limit.reschedule(loop.time() + half_s))
                try:
                    return await work
                finally:
                    again.cancel()
        except TimeoutError as exc:
            raise RedisTimeoutError("no answer in time") from exc
        except RedisConnectionError:
            await self.connection_pool.disconnect(inuse_connections=False)
            raise

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Close every connection."""
        await super().aclose()
        await self.connection_pool.disconnect()


class BoundedPipeline(Pipeline):
    """A pipeline of one server."""

    def __init__(self, node: Node, *, transaction: bool) -> None:
        super().__init__(node.connection_pool, node.response_callbacks, transaction, None)
        self._node = node

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """As the library's, within the limit of its server."""
        return await self._node.bounded(super().execute(raise_on_error))
