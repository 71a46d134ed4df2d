"""The server in a worker's process."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Final

import uvicorn

from backend.serving.server import Server

CLOSING_S: Final = 10
"""What a process has to end after its answers have."""
_BEAT_S: Final = 0.5


class WorkerServer(Server):
    """A server that a process above watches, and that ends when that one has.

    Args:
        beat: Tells that the event loop turns.
        up: Told once it serves.
    """

    def __init__(
        self, config: uvicorn.Config, *, grace_s: float, beat: Callable[[], None], up: Callable[[], None]
    ) -> None:
        super().__init__(config, grace_s=grace_s)
        self._beat, self._up = beat, up
        self._above = os.getppid()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen; from now on somebody looks whether it lives."""
        await super().startup(sockets)
        if self.started:
            self._beating = asyncio.ensure_future(self._live())
            self._up()

    async def _live(self) -> None:
        """Beat, while answers end too: uvicorn's own sign of life stops when it begins to stop."""
        while True:
            self._beat()
            if os.getppid() != self._above:
                self._end_in_time()
            await asyncio.sleep(_BEAT_S)

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Only the one that asks for an orderly end; it is not raised once more at that end."""
        signal.signal(signal.SIGTERM, self.handle_exit)
        yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End in order; a process that serves nobody yet, at once."""
        if not self.started:
            os._exit(0)
        self._end_in_time()

    def _end_in_time(self) -> None:
        if not self.should_exit:
            self.should_exit = True
            signal.alarm(int(self._grace_s) + CLOSING_S)  # the kernel ends what hangs at its end
