"""`libriassist serve`: the whole assistant in one process."""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
import socket
from contextlib import suppress
from functools import partial
from pathlib import Path

import orjson
import uvicorn
from rich.console import Console

from backend.app import create_app
from backend.config import Settings
from backend.infra.folder_lock import hold
from backend.services import Services
from backend.telemetry.logs import configure
from backend.wiring.services import open_services

ADDRESS_FILE = "server.json"
"""In the data folder, for its owner only: where the server that holds it listens, and a key to it."""


class _Server(uvicorn.Server):
    """Uvicorn, which ends running answers with a terminal event before it cuts their connections."""

    def __init__(self, config: uvicorn.Config, settings: Settings, start_token: str) -> None:
        super().__init__(config)
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

    def _url(self) -> str:
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
        return f"http://{shown}:{port}"


def serve(settings: Settings) -> int:
    """Serve until stopped; returns the exit status.

    Raises:
        FolderBusy: Another process uses the data folder.
    """
    with hold(settings.data.dir):
        pass  # said here in one line, rather than by the server as a failed start
    server = settings.server
    start_token = secrets.token_urlsafe(32)
    configure(settings.logging.level, secrets=[settings.auth.api_key.get_secret_value(), start_token])
    config = uvicorn.Config(
        create_app(settings, partial(open_services, serving=True, start_token=start_token)),
        host=server.host,
        port=server.port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=int(server.shutdown_grace_s) + 5,
    )
    runner = _Server(config, settings, start_token)
    with suppress(KeyboardInterrupt):
        runner.run()
    return 0 if runner.started else 1


def _write(path: Path, value: dict[str, str]) -> None:
    draft = path.with_suffix(".tmp")
    draft.unlink(missing_ok=True)  # one that a crash left keeps its mode
    with open(draft, "xb", opener=partial(os.open, mode=0o600)) as file:
        file.write(orjson.dumps(value))
    draft.replace(path)
