"""`libriassist models pull`: fetch a model onto every Ollama instance that lacks it, a bar each."""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from backend.cli.model_rows import reason_of
from backend.config import Settings
from backend.core.errors import EngineError, InvalidRequest, ModelMissing
from backend.engines.base import Endpoint
from backend.engines.control import ModelControl
from backend.wiring.model_control import model_servers


async def run(settings: Settings, options: Namespace) -> int:
    """The one action."""
    return await pull(settings, options.name, options.instance)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a pull onto one server ended."""

    address: str
    words: str
    failed: bool = False


async def pull(settings: Settings, name: str, instance: str | None) -> int:
    """Fetch `name`; the exit status is 1 if it failed anywhere.

    Args:
        settings: Name the instances.
        name: As its registry knows it.
        instance: URL of the only one to fetch it onto; what is there already is brought up to date.

    Raises:
        InvalidRequest: There is no instance to fetch it onto.
    """
    servers = model_servers(settings)
    endpoints = [Endpoint(instance.rstrip("/"))] if instance else servers.managed
    if not endpoints:
        raise InvalidRequest("no Ollama instance is configured: set OLLAMA_URLS, or use --instance")
    with _bars() as bars:
        job = _Job(servers.control, name, bars, again=instance is not None)
        outcomes = await asyncio.gather(*map(job.run, endpoints))
    return _report(name, outcomes)


@dataclass(frozen=True, slots=True)
class _Job:
    """One pull onto any number of servers; each has its bar, and its own way to fail."""

    control: ModelControl
    name: str
    bars: Progress
    again: bool

    async def run(self, endpoint: Endpoint) -> Outcome:
        where = endpoint.address
        try:
            if not self.again and await self._has(endpoint):
                return Outcome(where, "has it already")
            await self._fetch(endpoint, self.bars.add_task(where, total=None, step=""))
        except EngineError as exc:
            return Outcome(where, f"failed: {reason_of(exc)}", failed=True)
        return Outcome(where, "has it now")

    async def _has(self, endpoint: Endpoint) -> bool:
        """Asked by `show`: the server knows best which names mean the same."""
        try:
            await self.control.show(endpoint, self.name)
        except ModelMissing:
            return False
        return True

    async def _fetch(self, endpoint: Endpoint, bar: TaskID) -> None:
        async with aclosing(self.control.pull(endpoint, self.name)) as steps:
            async for step in steps:
                total = step.total_bytes or None
                self.bars.update(bar, total=total, completed=step.completed_bytes, step=step.step)


def _bars() -> Progress:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[step]}", style="dim", markup=False),
    )
    return Progress(*columns, console=Console(stderr=True), transient=not sys.stderr.isatty())


def _report(name: str, outcomes: Sequence[Outcome]) -> int:
    console = Console(stderr=True, highlight=False)
    for outcome in outcomes:
        style = "red" if outcome.failed else ""
        console.print(f"{outcome.address}: {name}: {outcome.words}", style=style, markup=False)
    return 1 if any(outcome.failed for outcome in outcomes) else 0
