"""`libriassist serve`: the whole assistant in one process."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import secrets
import signal
import socket
from argparse import Namespace
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType

import orjson
import uvicorn
from rich.console import Console

from backend.app import Open, create_app
from backend.cli.client import ADDRESS_FILE
from backend.cli.listen import listen
from backend.config import Settings
from backend.infra.folder_lock import hold
from backend.services import Services
from backend.telemetry.logs import configure
from backend.wiring.services import open_services

_STOPPED = 130


class _Server(uvicorn.Server):
    """Uvicorn, which ends running answers with a terminal event before it cuts their connections.

    Attributes:
        failure: What kept the services from opening.
    """

    def __init__(self, settings: Settings, start_token: str) -> None:
        super().__init__(_uvicorn_config(settings, self._opened))
        self.failure: Exception | None = None
        self._settings = settings
        self._start_token = start_token
        self._address_file = settings.data.dir / ADDRESS_FILE

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then tell where."""
        await super().startup(sockets)
        if self.started:
            # What is there now stays: to look through it for garbage would hold every stream for 0.12 s.
            gc.collect()
            gc.freeze()
            url = self._url()
            _write(self._address_file, {"url": url, "token": self._start_token})
            Console().print(f"LibriAssist is ready at [bold]{url}[/bold]  (Ctrl+C stops it)")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening; give running answers the grace time, end the others honestly."""
        with suppress(FileNotFoundError):
            self._address_file.unlink()
        grace_s = self._settings.server.shutdown_grace_s
        services: Services | None = self.lifespan.state.get("services")
        draining = services.drain(grace_s) if services else asyncio.sleep(0)
        await asyncio.gather(super().shutdown(sockets), draining)

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
            self._address_file.unlink(missing_ok=True)
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

    def _url(self) -> str:
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
        return f"http://{shown}:{port}"


def run(settings: Settings, options: Namespace) -> int:
    """The one action."""
    return serve(settings)


def serve(settings: Settings) -> int:
    """Serve until stopped; returns the exit status.

    Raises:
        FolderBusy: Another process uses the data folder.
        Misconfigured: A setting stands in the way; any other error that did as well.
    """
    with hold(settings.data.dir):
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


def _write(path: Path, value: dict[str, str]) -> None:
    draft = path.with_suffix(".tmp")
    draft.unlink(missing_ok=True)  # one that a crash left keeps its mode
    with open(draft, "xb", opener=partial(os.open, mode=0o600)) as file:
        file.write(orjson.dumps(value))
    draft.replace(path)
