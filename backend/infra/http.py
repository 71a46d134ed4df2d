"""The HTTP client: one aiohttp session per process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp


@asynccontextmanager
async def open_session(
    *, connections: int = 1024, idle_s: float = 0.0
) -> AsyncIterator[aiohttp.ClientSession]:
    """A session for calls to model servers; closed with its connections on leaving.

    It has no time limit of its own (each caller brings bounds for its stream), takes no proxy and no
    credential from the environment, keeps no cookies.

    Args:
        connections: Most connections at once; a call beyond them waits for one.
        idle_s: How long a connection is kept for the next call, where a call that meets its end may be lost.
    """
    kept = {"keepalive_timeout": idle_s} if idle_s else {"force_close": True}
    connector = aiohttp.TCPConnector(limit=connections, **kept)
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None, sock_read=None),
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "libriassist"},
    ) as session:
        yield session
