"""A worker of a replica, as gunicorn forks it.

What it is made of was imported before, by the process that forks; whatever has threads, sockets or files is
made in the worker.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Final, NamedTuple

from gunicorn.workers.base import Worker as GunicornWorker

from backend.config import Settings

FAILED: Final = 1
_UP: Final = "+"
_LONGEST: Final = 2000


class Task(NamedTuple):
    """What every worker of a replica does.

    Attributes:
        start_token: Stands for the operator at each of them.
        counters: Where they count; see `telemetry.shared`.
        module: Its `serve(task, worker)` is what a worker does; imported in the worker alone.
    """

    settings: Settings
    start_token: str
    counters: Path
    module: str = "backend.serving.in_worker"


class Worker(GunicornWorker):
    """A process that serves; the file by which gunicorn sees it live also tells how its start went.

    Attributes:
        number: Of this one among those that live.
        is_leaving: It was told to end.
        was_seen: It was told of that it serves.
    """

    number: int
    is_leaving = False
    was_seen = False

    def init_signals(self) -> None:
        """As of a process that nobody has touched, but that a Ctrl+C in the terminal is for who forked us."""
        for number in self.SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGQUIT, lambda *_: os._exit(0))
        faulthandler.enable()  # one that hangs is sent SIGABRT: where it hung is told

    def load_wsgi(self) -> None:
        """The application is made in `run`."""

    def run(self) -> None:
        """Serve until told to end."""
        failure = import_module(self.app.task.module).serve(self.app.task, self)
        if failure is not None:
            self._tell(failure)
            sys.exit(FAILED)

    def tell_up(self) -> None:
        """It serves from now on."""
        self._tell(_UP)

    def _tell(self, what: str) -> None:
        os.pwrite(self.tmp.fileno(), what.encode()[:_LONGEST], 0)

    @property
    def told(self) -> str:
        """What it said: nothing yet, or why it could not start."""
        said = os.pread(self.tmp.fileno(), _LONGEST, 0).decode(errors="replace")
        return "" if said == _UP else said

    @property
    def is_up(self) -> bool:
        """Whether it has begun to serve."""
        return os.pread(self.tmp.fileno(), len(_UP), 0) == _UP.encode()
