"""What happens when a process begins to serve and when it stops, whatever runs it."""

from __future__ import annotations

import asyncio
import gc
import socket
from typing import Final

import uvicorn

from backend.services import Services

_ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104  to be reached, not to listen


class Server(uvicorn.Server):
    """Uvicorn, which settles once it serves, and ends running answers before it cuts their connections.

    Args:
        grace_s: Time that running answers get when it stops.
    """

    def __init__(self, config: uvicorn.Config, *, grace_s: float) -> None:
        super().__init__(config)
        self._grace_s = grace_s

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen; then what is in memory stays there."""
        await super().startup(sockets)
        if self.started:
            settle()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening; give running answers the grace time, end the others honestly."""
        services: Services | None = self.lifespan.state.get("services")
        draining = services.drain(self._grace_s) if services else asyncio.sleep(0)
        await asyncio.gather(super().shutdown(sockets), draining)

    @property
    def url(self) -> str:
        """Where it can be reached from this machine."""
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        return f"http://{_ANYWHERE.get(host, f'[{host}]' if ':' in host else host)}:{port}"


def settle() -> None:
    """Look for garbage a last time: to look through what is there now would hold every stream for 0.12 s."""
    gc.collect()
    gc.freeze()
