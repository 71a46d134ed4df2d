"""Nothing that we start outlives us, not even when we are killed.

A small process is told of every child, and of every temporary folder, over a pipe. When the pipe closes,
because this process has ended in whatever way, it ends the groups of those that are left and removes the
folders. (Linux can send a signal at the parent's death, but at that of the thread which started the child,
and tests start theirs from threads.)
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

_TELLING = threading.Lock()
_running: dict[int, subprocess.Popen[bytes]] = {}
"""By the process that started it: a fork needs one of its own."""
_TIDY_S = 5.0
"""What a process gets that puts its affairs in order first."""


def guard(group: int, last: signal.Signals = signal.SIGKILL) -> None:
    """From now on the process group ends with us, by this signal first."""
    with _TELLING:
        _tell(_of_this_process(), f"+{group} {last.value}\n")


def release(group: int) -> None:
    """It has ended, and its number may be anybody's."""
    with _TELLING:
        if (own := _running.get(os.getpid())) and own.poll() is None:
            _tell(own, f"-{group}\n")


def discard(folder: Path) -> None:
    """From now on the folder goes with us."""
    with _TELLING:
        _tell(_of_this_process(), f">{folder.resolve()}\n")


def _tell(own: subprocess.Popen[bytes], line: str) -> None:
    assert own.stdin is not None
    own.stdin.write(line.encode())
    own.stdin.flush()


def _of_this_process() -> subprocess.Popen[bytes]:
    own = _running.get(os.getpid())
    if own is None or own.poll() is not None:
        command = [sys.executable, "-S", "-E", __file__]
        # In a session of its own: Ctrl-C in the terminal is for us, who stop what we started in order.
        own = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        _running.clear()
        _running[os.getpid()] = own
        atexit.register(_dismiss, own)
    return own


def _dismiss(own: subprocess.Popen[bytes]) -> None:
    """We end in order, and have stopped what we started."""
    if own.stdin is not None and own is _running.pop(os.getpid(), None):
        own.stdin.close()
        own.wait()


def _watch() -> None:
    """What the small process does."""
    left: dict[int, int] = {}
    folders: list[Path] = []
    for line in sys.stdin:
        kind, told = line[0], line[1:].rstrip("\n")
        if kind == ">":
            folders.append(Path(told))
        elif kind == "+":
            group, last = map(int, told.split())
            left[group] = last
        else:
            left.pop(int(told), None)
    _end(left)
    for folder in folders:
        _remove(folder)


def _end(groups: dict[int, int]) -> None:
    for group, last in groups.items():
        _send(group, last)
    tidy = [group for group, last in groups.items() if last != signal.SIGKILL]
    deadline = time.monotonic() + _TIDY_S
    while any(_send(group, 0) for group in tidy) and time.monotonic() < deadline:
        time.sleep(0.05)
    for group in tidy:
        _send(group, signal.SIGKILL)


def _send(group: int, number: int) -> bool:
    """Whether there is anybody to send it to."""
    with suppress(ProcessLookupError):
        os.killpg(group, number)
        return True
    return False


def _remove(folder: Path) -> None:
    """What was just killed may still write for a moment."""
    deadline = time.monotonic() + _TIDY_S
    while folder.exists() and time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.02)


if __name__ == "__main__":
    _watch()
