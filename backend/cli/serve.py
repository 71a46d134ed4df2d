"""`libriassist serve`: the whole assistant in one process."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
from collections.abc import Generator
from contextlib import contextmanager, suppress
from types import FrameType

from rich.console import Console

from backend.config import Settings
from backend.infra.address_file import announce, withdraw
from backend.serving.application import config_of, opener
from backend.serving.server import Server
from backend.telemetry.logs import configure

_STOPPED = 130


class _Server(Server):
    """A server of the console: it tells where it listens, and hears the terminal."""

    def __init__(self, settings: Settings, start_token: str) -> None:
        self.opener = opener(start_token)
        super().__init__(config_of(settings, self.opener), grace_s=settings.server.shutdown_grace_s)
        self._folder = settings.data.dir
        self._start_token = start_token

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then tell where."""
        await super().startup(sockets)
        if self.started:
            announce(self._folder, self.url, self._start_token)
            Console().print(f"LibriAssist is ready at [bold]{self.url}[/bold]  (Ctrl+C stops it)")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """No command finds it any more; then as any server."""
        withdraw(self._folder, self._start_token)
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """A terminal that is closed is an orderly stop too, unless `nohup` says else."""
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self.handle_exit)
        with super().capture_signals():
            yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop in order; at the second Ctrl+C now. What is kept is whole at any moment."""
        if self.should_exit and sig == signal.SIGINT:
            withdraw(self._folder, self._start_token)
            os._exit(_STOPPED)
        super().handle_exit(sig, frame)


def serve(settings: Settings, sockets: list[socket.socket]) -> int:
    """Serve on `sockets` until stopped; returns the exit status.

    Raises:
        Misconfigured: A setting stands in the way; any other error that did as well.
    """
    start_token = secrets.token_urlsafe(32)
    configure(settings.logging.level, secrets=[settings.auth.api_key.get_secret_value(), start_token])
    runner = _Server(settings, start_token)
    opening = runner.opener
    logging.getLogger("uvicorn.error").addFilter(lambda _: opening.failure is None)  # it is told below
    with suppress(KeyboardInterrupt, SystemExit):
        runner.run(sockets)
    if opening.failure is not None:
        raise opening.failure
    return 0 if runner.started else 1
