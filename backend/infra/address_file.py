"""Where the server that holds a data folder listens, and a key to it: a file there, for its owner only."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

import orjson

from backend.core.errors import Unavailable

ADDRESS_FILE: Final = "server.json"


def announce(folder: Path, url: str, token: str) -> None:
    """Write the file, whole or not at all."""
    path = folder / ADDRESS_FILE
    draft = path.with_suffix(".tmp")
    draft.unlink(missing_ok=True)  # one that a crash left keeps its mode
    with open(draft, "xb", opener=partial(os.open, mode=0o600)) as file:
        file.write(orjson.dumps({"url": url, "token": token}))
    draft.replace(path)


def withdraw(folder: Path, token: str) -> None:
    """Remove the file, if it is there, unless another server has written its own meanwhile."""
    with suppress(Unavailable):
        if address(folder)[1] == token:
            (folder / ADDRESS_FILE).unlink(missing_ok=True)


def address(folder: Path) -> tuple[str, str]:
    """Address and key of the server that holds `folder`.

    Raises:
        Unavailable: It did not say where it listens.
    """
    try:
        said = orjson.loads((folder / ADDRESS_FILE).read_bytes())
        return str(said["url"]), str(said["token"])
    except (OSError, ValueError, KeyError) as exc:
        raise Unavailable(
            "another process uses the data folder, and it is not a server that can be asked"
        ) from exc
