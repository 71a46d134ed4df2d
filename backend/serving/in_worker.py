"""What a worker of a replica does once it is a process of its own."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final

import uvicorn

from backend.config import Settings
from backend.core.errors import LibriError
from backend.serving.server import Server, config_of, opener
from backend.serving.worker import Task, Worker
from backend.telemetry.metrics import Metrics
from backend.telemetry.shared import SharedCounters

log = logging.getLogger(__name__)

CLOSING_S: Final = 10
"""What a process has to end after its answers have."""
_BEAT_S: Final = 0.5


class WorkerServer(Server):
    """A server that a process above watches, and that ends when that one has.

    Args:
        beat: Tells that the event loop turns.
        up: Told once it serves.
    """

    def __init__(
        self, config: uvicorn.Config, *, grace_s: float, beat: Callable[[], None], up: Callable[[], None]
    ) -> None:
        super().__init__(config, grace_s=grace_s)
        self._beat, self._up = beat, up
        self._above = os.getppid()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen; from now on somebody looks whether it lives."""
        await super().startup(sockets)
        if self.started:
            self._beating = asyncio.ensure_future(self._live())
            self._up()

    async def _live(self) -> None:
        """Beat, while answers end too: uvicorn's own sign of life stops when it begins to stop."""
        while True:
            self._beat()
            if os.getppid() != self._above:
                self._end_in_time()
            await asyncio.sleep(_BEAT_S)

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Only the one that asks for an orderly end; it is not raised once more at that end."""
        signal.signal(signal.SIGTERM, self.handle_exit)
        yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End in order; a process that serves nobody yet, at once."""
        if not self.started:
            os._exit(0)
        self._end_in_time()

    def _end_in_time(self) -> None:
        if not self.should_exit:
            self.should_exit = True
            signal.alarm(int(self._grace_s) + CLOSING_S)  # the kernel ends what hangs at its end


def serve(task: Task, worker: Worker) -> str | None:
    """Serve until told to end; what kept it from that, in one line."""
    settings = _own(task.settings, worker.number)
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


def _own(settings: Settings, number: int) -> Settings:
    """The indexes of a process lie in a folder of its own; a worker's is that of whoever had its number."""
    own = settings.data.dir / f"worker-{number}"
    data = settings.data.model_copy(update={"dir": own, "models_dir": settings.models_dir})
    return settings.model_copy(update={"data": data})
