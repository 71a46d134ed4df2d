"""Emulated Ollama instances, a process each."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devstack.child import Child, placed, running, where_we_are_found

_START_S = 180.0


@dataclass(frozen=True, slots=True)
class EmulatorProcess:
    """A running instance: where it serves, and where it is told what to do."""

    url: str
    control: str
    pid: int


@contextmanager
def emulator_processes(
    knobs: Sequence[Mapping[str, Any]], *, ports: Sequence[int] = (), folder: Path | None = None
) -> Iterator[list[EmulatorProcess]]:
    """One instance for each of `knobs` (see ollama_emulator/README.md), started together.

    Args:
        ports: Where they serve; any free ones if it is empty.

    Raises:
        StartError
    """
    with placed(folder, "emulator") as place, ExitStack() as stack:
        places = ports or [0] * len(knobs)
        children = [
            stack.enter_context(_process(f"emulator-{number}", one, (port, 0), place))
            for number, (one, port) in enumerate(zip(knobs, places, strict=True), 1)
        ]
        yield [EmulatorProcess(**json.loads(child.until(child.first_line, _START_S))) for child in children]


@contextmanager
def emulator_on(
    name: str, knobs: Mapping[str, Any], folder: Path, *, port: int = 0, control_port: int = 0
) -> Iterator[Child]:
    """One instance, ready, on these ports; its first line says where it is."""
    with _process(name, knobs, (port, control_port), folder) as child:
        child.until(child.first_line, _START_S)
        yield child


@contextmanager
def _process(name: str, knobs: Mapping[str, Any], ports: tuple[int, int], folder: Path) -> Iterator[Child]:
    where = ["--port", str(ports[0]), "--control-port", str(ports[1]), "--knobs", json.dumps(knobs)]
    command = [sys.executable, "-m", "ollama_emulator", *where]
    with running(name, command, folder=folder, environment=where_we_are_found()) as child:
        yield child
