"""A command and its terminal, or none: never an error for a character, a reader who left, or Ctrl+C."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn


def plain_output() -> None:
    """Have standard output and error take every character, escaped where they cannot show it."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # the descriptor is closed
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def close_output() -> None:
    """Write what is left.

    Raises:
        OSError: Nobody reads it any more, or the disk is full.
    """
    sys.stdout.flush()


def sever_output() -> None:
    """Write nothing more, or the interpreter would complain of it when it ends."""
    try:
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, sys.stdout.fileno())
        os.close(devnull)
    except (OSError, ValueError):  # it is no file, in a test
        return


@contextmanager
def interrupt_kills() -> Iterator[None]:
    """While inside, Ctrl+C ends the process by the signal, as it does any program. For imports.

    An exception could come out of any of their lines, and some report it as one that they ignore. Where the
    signal is ignored or handled otherwise, it stays so.
    """
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not ours or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def end_now(status: int) -> NoReturn:
    """End the process: the interpreter would wait for every thread that computes, a model's for minutes."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)
