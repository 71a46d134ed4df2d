"""The HTTP client: one aiohttp session per process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp


@asynccontextmanager
async def open_session(*, connections: int = 1024) -> AsyncIterator[aiohttp.ClientSession]:
    """A session for calls to model servers; closed with its connections on leaving.

    It has no time limit of its own (each caller brings bounds for its stream), takes no proxy and no
    credential from the environment, keeps no cookies and no idle connections.

    Args:
        connections: Most connections at once; a call beyond them waits for one.
    """
    connector = aiohttp.TCPConnector(limit=connections, force_close=True)
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None, sock_read=None),
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "libriassist"},
    ) as session:
        yield session
