"""A real Chroma server, where its command is installed; it can hang, die, forget and come back."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from devstack.child import Child, Command, StartError, answers, free_port, placed, start

_START_S = 180.0


@dataclass(slots=True)
class ChromaServer:
    """A server of which faults are made; its data are in `folder`."""

    program: str
    port: int
    folder: Path
    child: Child = field(init=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it with the data that are there.

        Raises:
            StartError
        """
        place: Command = ["--path", self.folder / "data", "--host", "127.0.0.1", "--port", str(self.port)]
        command = [self.program, "run", *place]
        self.child = start("chroma", command, folder=self.folder, cwd=self.folder)
        self.child.until(lambda: answers(f"{self.url}/api/v2/heartbeat"), _START_S)

    def hang(self) -> None:
        self.child.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.child.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.child.kill()

    def restart(self, *, empty: bool = False) -> None:
        """End it and start it again, with its data or without.

        Raises:
            StartError
        """
        self.kill()
        if empty:
            shutil.rmtree(self.folder / "data", ignore_errors=True)
        self.start()


def program() -> str | None:
    """Where it is, beside this Python or on the path; None: not installed."""
    return shutil.which("chroma", path=str(Path(sys.executable).parent)) or shutil.which("chroma")


@contextmanager
def chroma_server(folder: Path | None = None, *, port: int = 0) -> Iterator[ChromaServer]:
    """A running server.

    Args:
        port: Where it listens; 0: any free one.

    Raises:
        StartError
    """
    found = program()
    if found is None:
        raise StartError("chroma is not installed")
    with placed(folder, "chroma") as place:
        server = ChromaServer(found, port or free_port(), place)
        server.start()
        try:
            yield server
        finally:
            server.kill()
