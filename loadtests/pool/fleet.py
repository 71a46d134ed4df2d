"""Emulated machines, a process each, and what they tell through their control ports."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from devstack.emulator import emulator_processes
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

    def begin_anew(self) -> None:
        """No faults, no past, and no prompt in its slots' memory: the same ones come again in every run.

        All its models are in memory then, with the options that every request will have.
        """
        _ask(f"{self.control}/__emu/reset", {})
        for model in self.machine.models:
            options = {"num_ctx": CONTEXT_TOKENS}
            _ask(
                f"{self.url}/api/chat", {"model": model, "messages": [], "keep_alive": -1, "options": options}
            )

    def attempts(self) -> list[Attempt]:
        """The requests since `begin_anew`."""
        events = _ask(f"{self.control}/__emu/events")["events"]
        return attempts_of(self.machine.id, events, _ask(f"{self.control}/__emu/requests")["requests"])

    def fault(self, kind: str, **params: Any) -> None:
        """Switch a fault on."""
        _ask(f"{self.control}/__emu/fault", {"kind": kind, **params})

    def clear(self) -> None:
        """Switch all faults off."""
        _ask(f"{self.control}/__emu/fault", {"clear": "all"})

    def open_requests(self) -> int:
        """Requests it still works on."""
        return int(_ask(f"{self.control}/__emu/state")["totals"]["open"])

    def cached_tokens(self) -> int:
        """Prompt tokens since `begin_anew` that a slot knew already."""
        return sum(r["cached_tokens"] for r in _ask(f"{self.control}/__emu/requests")["requests"])

    def lost_s(self) -> float:
        """Time that it lost since `begin_anew`, because this machine was too busy to emulate it."""
        return float(_ask(f"{self.control}/__emu/state")["totals"]["lost_s"])


@contextmanager
def fleet(machines: Sequence[Machine]) -> Iterator[list[Running]]:
    """An emulator for each machine, ready to serve; ended at the end."""
    with emulator_processes([machine.knobs() for machine in machines]) as processes:
        running = [
            Running(machine, one.url, one.control, one.pid)
            for machine, one in zip(machines, processes, strict=True)
        ]
        for instance in running:
            instance.begin_anew()
        yield running


def _ask(url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data), timeout=60) as answer:
        return dict(json.load(answer))
