"""The process above the workers of a replica: starts them, sees that they live, replaces them one by one."""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NoReturn

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer
from gunicorn.glogging import Logger

from backend.core.errors import Unavailable
from backend.serving.worker import FAILED, Task, Worker
from backend.telemetry.shared import forget_gauges

log = logging.getLogger(__name__)

_LONGEST_PAUSE_S: Final = 30.0
_MEMORY: Final = "/dev/shm"  # noqa: S108  a heartbeat there never waits for a disk
_THREADS: Final = Path("/proc/self/task")
_CLOSING_S: Final = 15
"""What the workers have to end after their answers have; then they are killed."""


class _Logs(Logger):
    """Gunicorn's own lines go where all others do."""

    def setup(self, cfg: Any) -> None:
        self.cfg = cfg
        self.error_log.propagate = True


class _Application(BaseApplication):
    """What gunicorn is told; never what stands in files or variables of its own."""

    def __init__(self, task: Task, workers: int) -> None:
        self.task = task
        self._workers = workers
        super().__init__()

    def load_config(self) -> None:
        server = self.task.settings.server
        told = {
            "workers": self._workers,
            "worker_class": Worker,
            "logger_class": _Logs,
            "timeout": int(server.worker_timeout_s),
            "graceful_timeout": int(server.shutdown_grace_s) + _CLOSING_S,
            "worker_tmp_dir": _MEMORY if os.access(_MEMORY, os.W_OK | os.X_OK) else None,
            "control_socket_disable": True,
            "pre_fork": _give_number,
        }
        for name, value in told.items():
            self.cfg.set(name, value)

    def load(self) -> NoReturn:
        raise NotImplementedError("each worker makes its own")


class Replica(Arbiter):
    """Gunicorn's arbiter, which replaces a worker only once another serves, and knows why one did not start.

    Args:
        ready: Called once the first worker serves.

    Attributes:
        failure: Why no worker could begin.
    """

    def __init__(
        self, task: Task, workers: int, sockets: Sequence[socket.socket], ready: Callable[[], None]
    ) -> None:
        self.WORKERS: dict[int, Worker] = {}
        self.LISTENERS = list(sockets)
        self.failure = ""
        self._ready = ready
        self._counters = task.counters
        self._has_served = False
        self._is_stopping = False
        self._newest_outdated = 0
        self._failed_starts = 0
        self._next_start = 0.0
        super().__init__(_Application(task, workers))

    def spawn_worker(self) -> int:
        """Fork one; the child ends here and nowhere above."""
        try:
            return int(super().spawn_worker())
        except SystemExit as exc:
            if os.getpid() == self.pid:
                raise
            _end(exc.code)

    def manage_workers(self) -> None:
        """Start who is missing, and send away who is too many, once the others serve."""
        self._see_who_serves()
        outdated = [worker for worker in self._staying() if worker.age <= self._newest_outdated]
        wanted = self.num_workers + bool(outdated and not self._any_leaves())
        while len(self._staying()) < wanted and time.monotonic() >= self._next_start:
            self.spawn_worker()
        staying = self._staying()
        if len(staying) > self.num_workers:
            oldest = min(staying, key=lambda worker: worker.age)
            if sum(worker.is_up for worker in staying if worker is not oldest) >= self.num_workers:
                self._send_away(oldest)

    def reap_workers(self) -> None:
        """See who has ended."""
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if worker := self.WORKERS.pop(pid, None):
                    self._ended(worker, os.waitstatus_to_exitcode(status))

    def handle_hup(self) -> None:
        """Replace all, one after the other."""
        self._newest_outdated = self.worker_age

    def handle_int(self) -> None:
        """A first Ctrl+C is an orderly stop; gunicorn ends at once at the second."""
        raise StopIteration

    def handle_usr2(self) -> None:
        """A second replica on the same sockets; nobody needs it who has several."""
        log.warning("SIGUSR2 is not supported: start another replica")

    def stop(self, graceful: bool = True) -> None:
        """End all workers."""
        self._is_stopping = True
        super().stop(graceful)

    def _staying(self) -> list[Worker]:
        return [worker for worker in self.WORKERS.values() if not worker.is_leaving]

    def _any_leaves(self) -> bool:
        return len(self._staying()) < len(self.WORKERS)

    def _see_who_serves(self) -> None:
        for worker in self.WORKERS.values():
            if worker.is_up and not worker.was_seen:
                worker.was_seen = True
                self._failed_starts = 0
                log.info("a worker serves", extra={"event": "worker_up", "pid": worker.pid})
                if not self._has_served:
                    self._has_served = True
                    self._ready()

    def _send_away(self, worker: Worker) -> None:
        worker.is_leaving = True
        self.kill_worker(worker.pid, signal.SIGTERM)

    def _ended(self, worker: Worker, status: int) -> None:
        """Somebody takes its place at once, or after a pause if it could not start; or nobody ever will."""
        was_up, why = worker.is_up, worker.told or f"a worker was ended by {_reason(status)} while it started"
        worker.tmp.close()
        forget_gauges(self._counters, worker.number)
        if was_up or status == 0 or self._is_stopping:
            expected = status == 0 or worker.is_leaving or self._is_stopping
            log.log(
                logging.INFO if expected else logging.ERROR,
                "a worker has ended",
                extra={"event": "worker_ended", "pid": worker.pid, "reason": _reason(status)},
            )
            return
        if not self._has_served:
            self.failure = why
            raise HaltServer(why, FAILED)
        self._failed_starts += 1
        pause_s = min(_LONGEST_PAUSE_S, 2.0**self._failed_starts)
        self._next_start = time.monotonic() + pause_s
        log.error(
            "a worker could not start",
            extra={"event": "worker_start_failed", "reason": why, "again_in_s": pause_s},
        )


def serve_replica(
    task: Task, workers: int, sockets: Sequence[socket.socket], ready: Callable[[], None]
) -> None:
    """Serve with so many workers until stopped.

    Raises:
        Unavailable: None of them could start; says why.
    """
    if _THREADS.is_dir():
        _import_once(task)
    replica = Replica(task, workers, sockets, ready)
    with suppress(SystemExit):
        replica.run()
    if replica.failure:
        raise Unavailable(replica.failure)


def _import_once(task: Task) -> None:
    """What workers are made of: three seconds of CPU time that none of them pays, and memory that all share.

    A fork leaves threads behind, with what they hold. numpy alone has any after its import, for products of
    matrices that no worker has; without them there are none.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # noqa: TID251  numpy's library reads it
    import_module(task.module)
    gc.collect()
    gc.freeze()
    threads = len(tuple(_THREADS.iterdir()))
    if threads > 1:
        log.warning("workers are forked from a process with threads", extra={"threads": threads})


def _give_number(replica: Replica, worker: Worker) -> None:
    """The lowest that no other has."""
    taken = {other.number for other in replica.WORKERS.values()}
    worker.number = next(number for number in range(len(taken) + 1) if number not in taken)


def _reason(status: int) -> str:
    return f"status {status}" if status >= 0 else signal.Signals(-status).name


def _end(status: object) -> NoReturn:
    """A worker's process has nothing to do of what its parent would at its end."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(status if isinstance(status, int) else FAILED)
