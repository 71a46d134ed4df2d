"""Runners whose server was killed: they keep their memory and a port until somebody ends them."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ollama_emulator.runner import Runner


@dataclass(frozen=True, slots=True)
class Orphan:
    """One of them, and the port it listens on."""

    model: str
    vram_bytes: int
    listener: socket.socket


@dataclass(slots=True)
class Orphans:
    """All of one machine; a server that is started later does not know of them."""

    _left: list[Orphan] = field(default_factory=list)

    def leave(self, runners: Iterable[Runner]) -> None:
        """Their server dies without ending them."""
        for runner in runners:
            listener = socket.create_server(("127.0.0.1", 0))
            self._left.append(Orphan(runner.model.name, runner.place.vram_bytes, listener))

    def end(self) -> int:
        """Somebody ends them all; how many there were."""
        ended = len(self._left)
        for orphan in self._left:
            orphan.listener.close()
        self._left.clear()
        return ended

    @property
    def vram_bytes(self) -> int:
        return sum(orphan.vram_bytes for orphan in self._left)

    def state(self) -> list[dict[str, Any]]:
        return [
            {
                "model": orphan.model,
                "vram_bytes": orphan.vram_bytes,
                "port": orphan.listener.getsockname()[1],
            }
            for orphan in self._left
        ]
