"""A real Chroma server, where its command is installed."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devstack.child import Child, Command, StartError, answers, free_port, placed, running

_START_S = 180.0


def program() -> str | None:
    """Where it is, beside this Python or on the path; None: not installed."""
    return shutil.which("chroma", path=str(Path(sys.executable).parent)) or shutil.which("chroma")


@contextmanager
def chroma_server(folder: Path | None = None) -> Iterator[str]:
    """Its URL; empty.

    Raises:
        StartError
    """
    port = free_port()
    with placed(folder, "chroma") as place, chroma_on(place, port):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def chroma_on(folder: Path, port: int) -> Iterator[Child]:
    """A server on this port whose data are in `folder`, and there again at the next start.

    Raises:
        StartError
    """
    if (found := program()) is None:
        raise StartError("chroma is not installed")
    where: Command = ["--path", folder / "chroma-data", "--host", "127.0.0.1", "--port", str(port)]
    with running("chroma", [found, "run", *where], folder=folder, cwd=folder) as child:
        child.until(lambda: answers(f"http://127.0.0.1:{port}/api/v2/heartbeat"), _START_S)
        yield child
