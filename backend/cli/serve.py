"""`libriassist serve`: the whole assistant in one process."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
from argparse import Namespace
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from types import FrameType

import uvicorn
from rich.console import Console

from backend.app import Open, create_app
from backend.cli.listen import listen
from backend.config import Settings
from backend.infra.address_file import announce, withdraw
from backend.services import Services
from backend.serving import Server
from backend.telemetry.logs import configure
from backend.wiring.folder import data_folder
from backend.wiring.services import open_services

_STOPPED = 130


class _Server(Server):
    """A server of the console: it tells where it listens, and hears the terminal.

    Attributes:
        failure: What kept the services from opening.
    """

    def __init__(self, settings: Settings, start_token: str) -> None:
        config = _uvicorn_config(settings, self._opened)
        super().__init__(config, grace_s=settings.server.shutdown_grace_s)
        self.failure: Exception | None = None
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
        withdraw(self._folder)
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
            withdraw(self._folder)
            os._exit(_STOPPED)
        super().handle_exit(sig, frame)

    @asynccontextmanager
    async def _opened(self, settings: Settings) -> AsyncIterator[Services]:
        """The services; why they could not be opened is kept, for a framework would log it as a traceback."""
        opening = True
        try:
            async with open_services(settings, serving=True, start_token=self._start_token) as services:
                opening = False
                yield services
        except Exception as exc:
            if opening:
                self.failure = exc
            raise


def run(settings: Settings, options: Namespace) -> int:
    """The one action."""
    return serve(settings)


def serve(settings: Settings) -> int:
    """Serve until stopped; returns the exit status.

    Raises:
        FolderBusy: Another process uses the data folder.
        Misconfigured: A setting stands in the way; any other error that did as well.
    """
    with data_folder(settings):
        pass
    sockets = listen(settings.server)
    start_token = secrets.token_urlsafe(32)
    configure(settings.logging.level, secrets=[settings.auth.api_key.get_secret_value(), start_token])
    runner = _Server(settings, start_token)
    logging.getLogger("uvicorn.error").addFilter(lambda _: runner.failure is None)  # it is told below
    with suppress(KeyboardInterrupt, SystemExit):
        runner.run(sockets)
    if runner.failure is not None:
        raise runner.failure
    return 0 if runner.started else 1


def _uvicorn_config(settings: Settings, opener: Open) -> uvicorn.Config:
    server = settings.server
    return uvicorn.Config(
        create_app(settings, opener),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=int(server.shutdown_grace_s) + 5,
    )
