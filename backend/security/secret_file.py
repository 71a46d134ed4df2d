"""The server's secret, made once and kept in the data folder for its owner only."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

MIN_CHARS = 32


def new_secret() -> bytes:
    """256 random bits, as text."""
    return secrets.token_hex(32).encode()


def read_or_create(path: Path) -> bytes:
    """The secret in `path`; made of 256 random bits if there is none.

    Processes that start together agree: the file appears whole, and the first one wins.

    Raises:
        OSError: It can neither be read nor made.
        ValueError: It holds less than 32 characters.
    """
    if not path.exists():
        _create(path)
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)
    secret = path.read_bytes().strip()
    if len(secret) < MIN_CHARS:
        raise ValueError(f"{path.name} is damaged; remove it: readers must then sign in again")
    return secret


def read_if_there(path: Path) -> bytes | None:
    """The secret in `path`; None if there is none that can be read."""
    try:
        secret = path.read_bytes().strip()
    except OSError:
        return None
    return secret if len(secret) >= MIN_CHARS else None


def _create(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(new_secret().decode() + "\n")
            file.flush()
            os.fsync(handle)
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
