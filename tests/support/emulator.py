"""Emulated Ollama servers for tests: in this process (quick) or in their own.

async with emulator(num_parallel=4, time_scale=0) as ollama:
    await ollama.fault("error_mid", k=5)
    ... talk to ollama.url ...
    assert (await ollama.state())["leaks"] == 0
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from devstack.child import in_thread
from devstack.emulator import emulator_processes
from ollama_emulator.control import Control
from ollama_emulator.instance import Instance
from ollama_emulator.knobs import Knobs
from ollama_emulator.models import Model


@dataclass
class Emulator:
    """A running instance, and its control port."""

    url: str
    control: str
    session: aiohttp.ClientSession
    instance: Instance | None = None

    async def fault(self, kind: str, **params: Any) -> int | None:
        """Switch a fault on (or do `restart`, `evict_now`, `kill_runner`, `end_orphans` at once); its id."""
        return (await self._post("fault", {"kind": kind, **params}))["id"]

    async def clear(self, which: int | str = "all") -> int:
        """Switch off by id, by kind, or all; how many were on."""
        return (await self._post("fault", {"clear": which}))["cleared"]

    async def state(self) -> dict[str, Any]:
        return await self._get("state")

    async def events(self, since: int = 0, *, kind: str = "") -> list[dict[str, Any]]:
        """What happened after event `since`, oldest first; of one kind if given."""
        found = (await self._get(f"events?since={since}"))["events"]
        return [event for event in found if not kind or event["event"] == kind]

    async def requests(self, since: int = 0) -> list[dict[str, Any]]:
        """A record for each request: tokens, tokens after the client had gone, outcome, …"""
        return (await self._get(f"requests?since={since}"))["requests"]

    async def reset(self) -> None:
        await self._post("reset", {})

    async def knobs(self, **changes: Any) -> None:
        """Change knobs while it runs, e.g. `reply="Hello [1]."`."""
        await self._post("knobs", changes)

    async def load(self, model: str, **options: Any) -> None:
        """Have a model in memory for good, with these options."""
        body = {"model": model, "messages": [], "keep_alive": -1, "stream": False, "options": options}
        async with self.session.post(f"{self.url}/api/chat", json=body) as response:
            await _read(response)

    async def advance(self, seconds: float) -> None:
        """Let emulated time pass (only with `time_scale=0`)."""
        await self._post("advance", {"s": seconds})

    async def until(
        self, holds: Callable[[dict[str, Any]], bool], *, within_s: float = 30.0
    ) -> dict[str, Any]:
        """The first state for which `holds` is true."""
        async with asyncio.timeout(within_s):
            while not holds(state := await self.state()):
                await asyncio.sleep(0.005)
        return state

    async def _get(self, name: str) -> Any:
        async with self.session.get(f"{self.control}/__emu/{name}") as response:
            return await _read(response)

    async def _post(self, name: str, body: dict[str, Any]) -> Any:
        async with self.session.post(f"{self.control}/__emu/{name}", json=body) as response:
            return await _read(response)


@asynccontextmanager
async def emulator(
    *, process: bool = False, models: tuple[Model, ...] | None = None, port: int = 0, **knobs: Any
) -> AsyncIterator[Emulator]:
    """One instance on a free port, gone at the end.

    Args:
        process: In a process of its own (for synchronous clients, or when its CPU must not be ours).
        models: Its table; only within this process.
        knobs: As in `ollama_emulator.knobs`; `reply` may be a text to say.
    """
    async with aiohttp.ClientSession() as session:
        if process:
            async with in_thread(emulator_processes([knobs], ports=[port])) as (started,):
                yield Emulator(started.url, started.control, session)
        else:
            instance = Instance(Knobs().updated(knobs), models=models, port=port)
            steered = Control(instance)
            await steered.start()
            try:
                yield Emulator(instance.server.url, steered.server.url, session, instance)
            finally:
                await steered.close()


async def _read(response: aiohttp.ClientResponse) -> Any:
    body = await response.json()
    if response.status != 200:
        raise ValueError(body["error"])
    return body
