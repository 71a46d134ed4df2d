"""A real Chroma server, where its command is installed."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devstack.child import Command, StartError, answers, free_port, placed, running

_START_S = 60.0


def program() -> str | None:
    """Where it is, beside this Python or on the path; None: not installed."""
    return shutil.which("chroma", path=str(Path(sys.executable).parent)) or shutil.which("chroma")


@contextmanager
def chroma_server(folder: Path | None = None) -> Iterator[str]:
    """Its URL; empty.

    Raises:
        StartError
    """
    found = program()
    if found is None:
        raise StartError("chroma is not installed")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with placed(folder, "chroma") as place:
        command: Command = [
            found,
            "run",
            "--path",
            place / "data",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        ]
        with running("chroma", command, folder=place, cwd=place) as child:
            child.until(lambda: answers(f"{url}/api/v2/heartbeat"), _START_S)
            yield url
