"""Nothing that we start outlives us, not even when we are killed.

A small process is told of every child over a pipe. When the pipe closes, because this process has ended in
whatever way, it kills the groups of those that are left. (Linux can send a signal at the parent's death, but
at that of the thread which started the child, and tests start theirs from threads.)
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

_TELLING = threading.Lock()
_running: dict[int, subprocess.Popen[bytes]] = {}
"""By the process that started it: a fork needs one of its own."""


def guard(group: int) -> None:
    """From now on the process group ends with us."""
    with _TELLING:
        _tell(_of_this_process(), f"+{group}\n")


def release(group: int) -> None:
    """It has ended, and its number may be anybody's."""
    with _TELLING:
        if own := _running.get(os.getpid()):
            _tell(own, f"-{group}\n")


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
    left: set[int] = set()
    for line in sys.stdin:
        group = int(line[1:])
        left = left | {group} if line[0] == "+" else left - {group}
    for group in left:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    _watch()
