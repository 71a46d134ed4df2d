"""One process at a time in a folder: in a second one the indexes go stale without saying so."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backend.core.errors import Conflict, Misconfigured


class FolderBusy(Conflict):
    """Another process holds the folder."""


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold `folder`, made if need be; the kernel lets go when the process ends, however it ends.

    Raises:
        FolderBusy: Another process holds it.
        Misconfigured: It cannot be made or written.
    """
    prepare(folder)
    with _usable(folder):
        handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise FolderBusy(f"another process uses {folder}; stop it, or set LIBRI_DATA__DIR") from exc
        yield
    finally:
        os.close(handle)


def prepare(folder: Path) -> None:
    """Make `folder` if need be.

    Raises:
        Misconfigured: It cannot be made.
    """
    with _usable(folder):
        folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def _usable(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as exc:
        why = (exc.strerror if isinstance(exc, OSError) else None) or "no folder can have that name"
        raise Misconfigured(
            f"the data folder {folder} cannot be written ({why}): set LIBRI_DATA__DIR to one that can"
        ) from exc
