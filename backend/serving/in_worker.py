"""What a worker of a replica does once it is a process of its own."""

from __future__ import annotations

import logging
from contextlib import suppress
from importlib import import_module
from typing import Final

from backend.core.errors import LibriError
from backend.serving.application import config_of, opener
from backend.serving.worker import Task, Worker
from backend.serving.worker_server import WorkerServer
from backend.telemetry.metrics import Metrics
from backend.telemetry.shared import SharedCounters

log = logging.getLogger(__name__)

_LATER: Final = (
    "asyncpg",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "uvicorn.protocols.http.httptools_impl",
    "uvloop",
)
"""What is imported where it is first used; every worker uses it, so it is imported before they are forked."""
for _name in _LATER:
    import_module(_name)


def serve(task: Task, worker: Worker) -> str | None:
    """Serve until told to end; what kept it from that, in one line."""
    settings = task.settings
    opened = opener(task.start_token, Metrics(SharedCounters(task.counters, worker.number)))
    logging.getLogger("uvicorn.error").addFilter(lambda _: opened.failure is None)  # it is told above
    server = WorkerServer(
        config_of(settings, opened),
        grace_s=settings.server.shutdown_grace_s,
        beat=worker.notify,
        up=worker.tell_up,
    )
    with suppress(SystemExit):
        server.run(worker.sockets)
    match opened.failure:
        case None:
            return None if server.started else "it did not start"
        case LibriError() as failure:
            return failure.message
        case OSError() as failure if failure.strerror:
            return f"{failure.filename}: {failure.strerror}" if failure.filename else failure.strerror
        case failure:
            log.error("a worker could not start", exc_info=failure)
            return f"{type(failure).__qualname__} while it started; see the log"
