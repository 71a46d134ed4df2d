"""One server of a stack: started again when it dies, away for as long as a file says so.

Its state is told by files, as engineers who kill things like it: `NAME.pid` holds its process id,
and while there is a `NAME.down` it stays away. What it said in earlier lives stands beside its log.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from devstack.child import Child, StartError

LOOK_S = 0.05
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 8.0
_LIVES_S = 10.0
"""What lives so long is no failed start."""
_START_S = 300.0


@dataclass(slots=True)
class Part:
    """A server that is kept running, by a thread of its own.

    Args:
        opened: Starts it, always at the same place and over what it left there, and gives its process when
            it is ready; stops it at the end.
        folder: Of its files.
        address: Where it is found, for people.
    """

    name: str
    opened: Callable[[], AbstractContextManager[Child]]
    folder: Path
    address: str
    starts: int = 0
    child: Child | None = None
    trouble: str = ""
    log: Path | None = None
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @property
    def down_file(self) -> Path:
        return self.folder / f"{self.name}.down"

    @property
    def pid_file(self) -> Path:
        return self.folder / f"{self.name}.pid"

    @property
    def is_up(self) -> bool:
        """It is ready and its process has not ended."""
        child = self.child
        return child is not None and child.process.poll() is None

    @property
    def pid(self) -> int:
        """Its process.

        Raises:
            RuntimeError: It is away.
        """
        if (child := self.child) is None:
            raise RuntimeError(f"{self.name} is away")
        return child.pid

    def workers(self) -> list[int]:
        """The processes that it started itself."""
        with suppress(psutil.NoSuchProcess):
            return [one.pid for one in psutil.Process(self.pid).children()]
        return []

    def keep(self) -> None:
        """Begin to keep it running; does not wait."""
        self._thread = threading.Thread(target=self._keep, name=f"keeps {self.name}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop it for good."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def start(self) -> None:
        """Have it running.

        Raises:
            StartError
        """
        self.down_file.unlink(missing_ok=True)
        self.wait_ready()

    def stop(self) -> None:
        """Have it stopped in order, until `start`."""
        self.down_file.touch()
        self._wait(lambda: self.child is None, "did not stop")

    def restart(self) -> None:
        """In order, and ready again."""
        self.stop()
        self.start()

    def kill(self, *, stays_down: bool = False) -> None:
        """End it with all its processes, at once, as when its machine is lost."""
        if stays_down:
            self.down_file.touch()
        self.send(signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        """A signal to all its processes."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def ask(self, number: signal.Signals = signal.SIGTERM) -> None:
        """A signal to the process itself, as an operator or a supervisor sends it."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait_ready(self, *, after: int = 0, within_s: float = _START_S) -> None:
        """Wait until it is up.

        Args:
            after: So many starts must be behind it: that of before a kill is over only when it has ended.

        Raises:
            StartError
        """
        self._wait(lambda: self.is_up and self.starts > after, "is not ready", within_s)

    def _wait(self, holds: Callable[[], bool], said: str, within_s: float = _START_S) -> None:
        deadline = time.monotonic() + within_s
        while not holds():
            if time.monotonic() > deadline or (self.trouble and not self.starts):
                raise StartError(self.trouble or f"{self.name} {said} within {within_s:g} s")
            time.sleep(LOOK_S)

    def _keep(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._over.is_set():
            if self.down_file.exists():
                self._over.wait(LOOK_S)
                continue
            began = time.monotonic()
            try:
                self._live()
            except StartError as exc:
                self.trouble = str(exc)
                print(self.trouble, file=sys.stderr, flush=True)
            pause_s = _FIRST_PAUSE_S if time.monotonic() - began > _LIVES_S else pause_s * 2
            if not self.down_file.exists():
                self._over.wait(min(pause_s, _LONGEST_PAUSE_S))

    def _live(self) -> None:
        """One life, from its start until it ends or is to end."""
        self._put_log_aside()
        try:
            with ExitStack() as opened:
                self.child = child = opened.enter_context(self.opened())
                self.log = child.log
                self.pid_file.write_text(f"{child.pid}\n", "utf-8")
                self.trouble, self.starts = "", self.starts + 1
                while child.process.poll() is None and not self.down_file.exists():
                    if self._over.wait(LOOK_S):
                        return
        finally:
            self.pid_file.unlink(missing_ok=True)
            self.child = None

    def _put_log_aside(self) -> None:
        if self.log is not None and self.log.exists():
            self.log.rename(self.log.with_name(f"{self.name}.{self.starts}.log"))


def keep_all(parts: Sequence[Part]) -> None:
    """Start them together and wait until all are ready.

    Raises:
        StartError
    """
    for part in parts:
        part.keep()
    for part in parts:
        part.wait_ready()


def close_all(parts: Sequence[Part]) -> None:
    """Stop them together."""
    for part in parts:
        part._over.set()
    for part in parts:
        part.close()
