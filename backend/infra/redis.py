"""Redis clients that fail fast: the library's own defaults wait up to a minute for a server that hangs.

One server and a cluster are used alike. A client knows the addresses it was given; the first command that
belongs elsewhere is told so by the server, and from then on the client knows who has what.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from backend.core.addresses import several
from backend.core.errors import Misconfigured
from backend.infra.redis_node import Node
from backend.infra.redis_routes import RoutedRedis, Routes


@asynccontextmanager
async def open_redis(
    url: str, *, timeout_s: float, decode_responses: bool = True
) -> AsyncIterator[RoutedRedis]:
    """A client of one server or of a cluster; nothing is tried twice but what another node has to answer.

    Args:
        url: An address, or several of one cluster's nodes, joined by commas.
        timeout_s: Longest that a command or a pipeline takes, connecting included; where the keys have just
            moved, as long again.
        decode_responses: Text, in which what is no UTF-8 comes back as it was written; otherwise bytes.

    Raises:
        Misconfigured: The library cannot make a connection of that address. Holds nothing of it.
    """
    seeds = [_seed(one, timeout_s, decode_responses) for one in several(url)]
    client = RoutedRedis(Routes(seeds))
    try:
        yield client
    finally:
        await client.aclose()


def _seed(url: str, timeout_s: float, decode_responses: bool) -> Node:
    options: dict[str, Any] = {
        "decode_responses": decode_responses,
        "encoding_errors": "surrogateescape",
        "socket_timeout": None,
        "socket_connect_timeout": timeout_s,
        "retry": Retry(NoBackoff(), 0),
        "health_check_interval": 0,
    }
    try:
        pool = ConnectionPool.from_url(url, **options)
        # This connects nowhere: it reads what follows the "?".
        pool.make_connection()  # type: ignore[no-untyped-call]
    except (ValueError, TypeError, RedisError) as exc:
        raise Misconfigured("has a query that cannot be read: write redis://HOST:PORT/NUMBER") from exc
    return Node(pool, timeout_s)
