"""What happens when a process begins to serve and when it stops, whatever runs it."""

from __future__ import annotations

import asyncio
import gc
import socket
from typing import TYPE_CHECKING

import uvicorn

from backend.serving.addresses import url_of

if TYPE_CHECKING:
    from backend.services import Services

_LOOK_S, _LOOKS = 0.05, 20


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
        """Stop listening; take leave of running answers and of who follows them."""
        await asyncio.gather(super().shutdown(sockets), self._take_leave(self.lifespan.state["services"]))

    async def _take_leave(self, services: Services) -> None:
        await services.leave(self._grace_s)
        if services.leaving.is_set():
            for _ in range(_LOOKS):
                if self.server_state.connections:
                    await asyncio.sleep(_LOOK_S)
            self._drop_who_does_not_read()

    def _drop_who_does_not_read(self) -> None:
        """A response that nobody takes would hold the process until the grace time is over."""
        for connection in tuple(self.server_state.connections):
            if connection.transport.get_write_buffer_size():
                connection.transport.abort()

    @property
    def url(self) -> str:
        """Where it can be reached from this machine."""
        return url_of(self.servers[0].sockets[0])


def settle() -> None:
    """Look for garbage a last time: to look through what is there now would hold every stream for 0.12 s."""
    gc.collect()
    gc.freeze()
