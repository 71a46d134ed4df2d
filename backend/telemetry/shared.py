"""Metrics of several processes as one: each counts in files of its own, and any of them tells the sum.

A process counts in the files of its *number*, which are those of whoever had the number before. So a counter
goes on where a dead process left it, and there are never more files than processes at once.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from backend.core.errors import Misconfigured

_IN_MEMORY = Path("/dev/shm")  # noqa: S108  only a folder of our own below it is used
VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


@dataclass(frozen=True, slots=True)
class SharedCounters:
    """Where one process counts.

    Attributes:
        folder: Of all processes that are told as one.
        number: Of this process among them; no other that lives has it.
    """

    folder: Path
    number: int


@contextmanager
def shared_folder(given: str) -> Iterator[Path]:
    """An empty folder for the counters of processes that are forked from now on; gone at the end.

    It is numbered, and locked while one of those processes lives; so one that a crash left is used again.

    Args:
        given: A folder to make it in; empty: one in memory, for a write to a full disk would kill us.

    Raises:
        Misconfigured: There can be none.
    """
    above = _above(given)
    for number in count():
        folder = above / str(number)
        folder.mkdir(mode=0o700, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            continue
        break
    try:
        _empty(folder)
        os.environ[VARIABLE] = str(folder)  # noqa: TID251  prometheus_client makes its files there
        yield folder
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(handle)


def forget_gauges(folder: Path, number: int) -> None:
    """Whoever had the number has died: what it counted stays, what it was doing is over."""
    for file in folder.glob(f"gauge_live*_{number}.db"):
        file.unlink(missing_ok=True)


def _above(given: str) -> Path:
    parent = _IN_MEMORY if os.access(_IN_MEMORY, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())
    above = Path(given) if given else parent / f"libriassist-{os.geteuid()}"
    try:
        above.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = above.lstat()
        if not given and (found.st_uid != os.geteuid() or not stat.S_ISDIR(found.st_mode)):
            raise PermissionError(0, "somebody else made it")
        (above / "0").mkdir(mode=0o700, exist_ok=True)
    except OSError as exc:
        raise Misconfigured(
            f"the folder of counters {above} cannot be used ({exc.strerror}): set {VARIABLE} to one that can"
        ) from exc
    return above


def _empty(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()
