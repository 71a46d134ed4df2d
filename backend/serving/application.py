"""The application of a process that serves, and how uvicorn runs it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import uvicorn

from backend.app import Open, create_app
from backend.config import Settings
from backend.services import Services
from backend.telemetry.metrics import Metrics
from backend.wiring.services import open_services


class Opener:
    """Opens the services of a process; what kept them from opening stays here, to be told in one line.

    Attributes:
        failure: A framework would log it as a traceback.
    """

    def __init__(self, opened: Open) -> None:
        self.failure: Exception | None = None
        self._opened = opened

    @asynccontextmanager
    async def __call__(self, settings: Settings) -> AsyncIterator[Services]:
        """The services."""
        opening = True
        try:
            async with self._opened(settings) as services:
                opening = False
                yield services
        except Exception as exc:
            if opening:
                self.failure = exc
            raise


def opener(start_token: str, metrics: Metrics | None = None) -> Opener:
    """Of a process that serves."""
    return Opener(partial(open_services, serving=True, start_token=start_token, metrics=metrics))


def config_of(settings: Settings, opened: Open) -> uvicorn.Config:
    """How uvicorn runs the application."""
    return uvicorn.Config(
        create_app(settings, opened),
        log_config=None,
        access_log=False,
        ws="none",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=int(settings.server.shutdown_grace_s) + 5,
    )
