"""What a command prints, on any terminal or none: never an error for a character or a reader who left."""

from __future__ import annotations

import os
import sys


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
