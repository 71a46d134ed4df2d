"""A replica whose workers are light: all that surrounds the application is real, the application is not.

`python -m tests.support.light_replica FOLDER WORKERS PORT`. What is in FOLDER/broken keeps a worker from
starting; each worker says `/` (its pid), `/stream` (until it takes leave), `/hang`, `/count`, `/metrics`.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from backend.api.sse import EventStream
from backend.cli.listen import listen
from backend.config import Settings
from backend.core.errors import LibriError
from backend.pool.base import PoolStatus
from backend.serving.replica import serve_replica
from backend.serving.worker import Task, Worker
from backend.serving.worker_server import WorkerServer
from backend.telemetry.logs import configure
from backend.telemetry.metrics import Metrics
from backend.telemetry.shared import SharedCounters, shared_folder

PIECE = b"data: x\n\n"


class Stand:
    """What `Server` uses of `Services`, of a process whose answers go on elsewhere at once."""

    def __init__(self) -> None:
        self.leaving = asyncio.Event()

    async def leave(self, grace_s: float) -> None:
        self.leaving.set()


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[dict[str, Stand]]:
    yield {"services": Stand()}


async def _pieces(large: bool) -> AsyncGenerator[bytes, None]:
    while True:
        yield PIECE * (50_000 if large else 1)
        await asyncio.sleep(0.0 if large else 0.05)


def _application(metrics: Metrics) -> Starlette:
    async def pid(request: Request) -> Response:
        return PlainTextResponse(str(os.getpid()))

    async def stream(request: Request) -> Response:
        return EventStream(_pieces("large" in request.query_params), leaving=request.state.services.leaving)

    async def hang(request: Request) -> Response:
        time.sleep(600)
        return Response()

    async def count(request: Request) -> Response:
        metrics.joined()
        return Response()

    async def told(request: Request) -> Response:
        return Response(metrics.render(PoolStatus(()))[0])

    routes = {"/": pid, "/stream": stream, "/hang": hang, "/count": count, "/metrics": told}
    return Starlette(routes=[Route(path, what) for path, what in routes.items()], lifespan=_lifespan)


def serve(task: Task, worker: Worker) -> str | None:
    """What a worker does."""
    broken = task.settings.data.dir / "broken"
    if broken.exists():
        return broken.read_text()
    app = _application(Metrics(SharedCounters(task.counters, worker.number)))
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=20)
    WorkerServer(config, grace_s=10, beat=worker.notify, up=worker.tell_up).run(worker.sockets)
    return None


def main(folder: Path, workers: int, port: int) -> int:
    """The process above."""
    settings = Settings(server={"port": port, "worker_timeout_s": 2}, data={"dir": folder})  # type: ignore[arg-type]
    configure("INFO")
    sockets = listen(settings.server)
    try:
        with shared_folder(str(folder / "counters")) as counters:
            task = Task(settings, "", counters, module="tests.support.light_replica")
            serve_replica(task, workers, sockets, lambda: (folder / "ready").touch())
    except LibriError as exc:
        sys.stderr.write(f"libriassist: {exc.message}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
