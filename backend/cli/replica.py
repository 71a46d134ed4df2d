"""The replica as an operator starts it: what workers share is checked and taken before the first of them."""

from __future__ import annotations

import secrets

from rich.console import Console

from backend.cli.listen import listen
from backend.config import Settings, variable
from backend.core.errors import Misconfigured
from backend.environment import value_of
from backend.infra.address_file import announce, withdraw
from backend.infra.folder_lock import prepare
from backend.serving.addresses import url_of
from backend.serving.replica import serve_replica
from backend.serving.worker import Task
from backend.telemetry.logs import configure
from backend.telemetry.shared import VARIABLE, shared_folder


def serve(settings: Settings) -> int:
    """Serve until stopped; returns the exit status.

    Raises:
        Misconfigured: A setting stands in the way.
        Unavailable: No worker could start; says why.
    """
    _check(settings)
    folder = settings.data.dir
    prepare(folder)
    sockets = listen(settings.server)
    url, start_token = url_of(sockets[0]), secrets.token_urlsafe(32)
    configure(settings.logging.level, secrets=[settings.auth.api_key.get_secret_value(), start_token])

    def ready() -> None:
        announce(folder, url, start_token)
        Console().print(f"LibriAssist is ready at [bold]{url}[/bold]  (Ctrl+C stops it)")

    with shared_folder(value_of(VARIABLE)) as counters:
        try:
            serve_replica(Task(settings, start_token, counters), settings.server.workers, sockets, ready)
        finally:
            withdraw(folder, start_token)
    return 0


def _check(settings: Settings) -> None:
    """Workers share what one process keeps for itself.

    Raises:
        Misconfigured: Something is not where all can reach it.
    """
    data, redis = settings.data, settings.redis
    missing = [
        f"{variable(*setting) if given.get_secret_value() else name} ({what})"
        for name, setting, what, given, starts in (
            ("REDIS_URL", ("redis", "url"), "redis://HOST:PORT", redis.url, "redis"),
            (
                "DATABASE_URL",
                ("data", "database_url"),
                "postgresql://HOST/NAME",
                data.database_url,
                "postgres",
            ),
            ("CHROMA_URL", ("data", "chroma_url"), "http://HOST:PORT", data.chroma_url, "http"),
        )
        if not given.get_secret_value().startswith(starts)
    ]
    if missing:
        raise Misconfigured(
            f"{variable('server', 'workers')}={settings.server.workers} needs what workers share: set "
            f"{', '.join(missing)}; or write 0 for one process"
        )
