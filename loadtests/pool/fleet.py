"""Emulated machines, a process each, and what they tell through their control ports."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from loadtests.pool.attempts import Attempt, attempts_of
from loadtests.pool.machines import Machine

CONTEXT_TOKENS = 16_384
"""The same in every request, or the model is reloaded; holds the longest prompt of the trace."""


@dataclass(slots=True)
class Running:
    """A machine whose emulator runs."""

    machine: Machine
    url: str
    control: str
    pid: int
    _seen: dict[str, int] = field(default_factory=lambda: {"events": 0, "requests": 0})

    def load(self) -> None:
        """Have all its models in memory, with the options that every request will have."""
        for model in self.machine.models:
            options = {"num_ctx": CONTEXT_TOKENS}
            _ask(
                f"{self.url}/api/chat", {"model": model, "messages": [], "keep_alive": -1, "options": options}
            )

    def forget(self) -> None:
        """What was before does not count."""
        self._since("events")
        self._since("requests")

    def attempts(self) -> list[Attempt]:
        """The requests since `forget`, and no longer new after this."""
        return attempts_of(self.machine.id, self._since("events"), self._since("requests"))

    def fault(self, kind: str, **params: Any) -> None:
        """Switch a fault on."""
        _ask(f"{self.control}/__emu/fault", {"kind": kind, **params})

    def clear(self) -> None:
        """Switch all faults off."""
        _ask(f"{self.control}/__emu/fault", {"clear": "all"})

    def open_requests(self) -> int:
        """Requests it still works on."""
        return int(_ask(f"{self.control}/__emu/state")["totals"]["open"])

    def _since(self, what: str) -> list[dict[str, Any]]:
        found = _ask(f"{self.control}/__emu/{what}?since={self._seen[what]}")[what]
        self._seen[what] = max((row["id"] for row in found), default=self._seen[what])
        return list(found)


@contextmanager
def fleet(machines: Sequence[Machine]) -> Iterator[list[Running]]:
    """An emulator for each machine, its models loaded; ended at the end."""
    with ExitStack() as stack:
        children = [stack.enter_context(_emulator(machine)) for machine in machines]
        running = []
        for machine, child in zip(machines, children, strict=True):
            assert child.stdout is not None
            running.append(Running(machine, **json.loads(child.stdout.readline())))
        for instance in running:
            instance.load()
        yield running


@contextmanager
def _emulator(machine: Machine) -> Iterator[subprocess.Popen[bytes]]:
    knobs = json.dumps(machine.knobs())
    command = [sys.executable, "-m", "loadtests.emulator", "--port", "0", "--knobs", knobs]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        try:
            yield child
        finally:
            child.terminate()


def _ask(url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data), timeout=60) as answer:
        return dict(json.load(answer))
