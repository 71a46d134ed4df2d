"""`libriassist serve-embeddings`: the embedding model alone, in a process of its own."""

from __future__ import annotations

import gc
import logging
import socket
import sys
from argparse import Namespace
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import uvicorn

from backend.cli.listen import listen
from backend.config import Settings
from backend.embed_api.app import create_app
from backend.embedding.room import Room
from backend.telemetry.logs import configure
from backend.wiring.embed_service import open_room

_GRACE_S = 5
"""For requests that run when it stops: each is short, and its caller asks again."""


def run(settings: Settings, options: Namespace) -> int:
    """Serve until stopped; the exit status.

    Raises:
        LibriError: What kept the model from being loaded, or the address from being taken.
    """
    sockets = listen(settings.embedding)
    key = settings.embedding.key.get_secret_value()
    configure(settings.logging.level, secrets=[key])
    runner = _Server(settings)
    logging.getLogger("uvicorn.error").addFilter(lambda _: runner.failure is None)  # it is told below
    with suppress(KeyboardInterrupt, SystemExit):
        runner.run(sockets)
    if runner.failure is not None:
        raise runner.failure
    return 0 if runner.started else 1


class _Server(uvicorn.Server):
    """Tells where it listens once the model is loaded.

    Attributes:
        failure: What kept the model from being loaded.
    """

    def __init__(self, settings: Settings) -> None:
        self.failure: Exception | None = None
        super().__init__(
            uvicorn.Config(
                create_app(settings, self._opened),
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=_GRACE_S,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Load the model, listen, tell where."""
        await super().startup(sockets)
        if self.started:
            gc.collect()
            gc.freeze()
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            sys.stdout.write(f"embeddings are served at http://{shown}:{port}\n")
            sys.stdout.flush()

    @asynccontextmanager
    async def _opened(self, settings: Settings) -> AsyncIterator[Room]:
        """The model; why it could not be loaded is kept, for a framework would log it as a traceback."""
        opening = True
        try:
            async with open_room(settings) as room:
                opening = False
                yield room
        except Exception as exc:
            if opening:
                self.failure = exc
            raise
