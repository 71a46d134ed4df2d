"""Redis clients that fail fast: the library's own defaults wait up to a minute for a server that hangs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from backend.core.errors import Misconfigured


class _Bounded(Redis):
    """A client that bounds whole commands itself.

    The library would bound writing by `asyncio.wait_for`, which before Python 3.12 swallows a cancellation
    that comes as the write ends (CPython issue 86296): a reader who left would go on being served, and a
    process that is told to stop would not.
    """

    limit_s: float = 1.0

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """As the library's, within `limit_s`.

        The limit comes in two halves, so that the answer is read first when it was this process that stood
        still: with one timer, a stall of the event loop looks like a server that is away. When a connection
        breaks, the idle ones are closed too: each would fail one more command when the server is back.
        """
        loop, half_s = asyncio.get_running_loop(), self.limit_s / 2
        try:
            async with asyncio.timeout(None) as limit:
                again = loop.call_later(half_s, lambda: limit.reschedule(loop.time() + half_s))
                try:
                    return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
                finally:
                    again.cancel()
        except TimeoutError as exc:
            raise RedisTimeoutError("no answer in time") from exc
        except RedisConnectionError:
            await self.connection_pool.disconnect(inuse_connections=False)
            raise


@asynccontextmanager
async def open_redis(url: str, *, timeout_s: float) -> AsyncIterator[Redis]:
    """A client; each command takes at most `timeout_s`, connecting included, and nothing is tried twice.

    Raises:
        Misconfigured: The library cannot make a connection of that address. Holds nothing of it.
    """
    client = _client(url, timeout_s)
    try:
        yield client
    finally:
        await client.aclose()


def _client(url: str, timeout_s: float) -> _Bounded:
    try:
        client = _Bounded.from_url(
            url,
            decode_responses=True,
            encoding_errors="surrogateescape",  # what is no UTF-8 comes back as it was written
            socket_timeout=None,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,
        )
        # This connects nowhere: it reads what follows the "?".
        client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
    except (ValueError, TypeError, RedisError) as exc:
        raise Misconfigured("has a query that cannot be read: write redis://HOST:PORT/NUMBER") from exc
    assert isinstance(client, _Bounded)
    client.limit_s = timeout_s
    return client
