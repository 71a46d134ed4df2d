"""`libriassist models list|show`: what the model servers have, and what is loaded where."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from rich.console import Console
from rich.filesize import decimal

from backend.cli.model_rows import Held, plain, reason_of, table_of
from backend.config import Settings
from backend.core.errors import EngineError, ModelMissing
from backend.engines.base import Endpoint, ModelInfo
from backend.engines.control import ModelControl, ModelDetails
from backend.wiring.model_control import Listed, ModelServers, model_servers

_AT_ONCE = 8


async def run(settings: Settings, options: Namespace) -> int:
    """One action."""
    return await (show(settings, options.name) if options.action == "show" else table(settings))


async def table(settings: Settings) -> int:
    """Print all of it; the exit status is 1 if a server does not answer."""
    servers = model_servers(settings)
    answers = await asyncio.gather(
        *(_held(servers.control, endpoint) for endpoint in servers.managed),
        *map(_told, servers.others),
    )
    console = Console(highlight=False)
    for held in answers:
        console.print(held.address, style="bold", markup=False, soft_wrap=True)
        if held.models:
            console.print(table_of(held, datetime.now(UTC).timestamp()))
        else:
            style = "red" if held.reason else "dim"
            console.print(held.reason or "no model", style=style, markup=False, soft_wrap=True)
        console.print()
    if not answers:
        console.print("No model server is configured: answers are quoted.")
    return 1 if any(held.reason for held in answers) else 0


async def show(settings: Settings, name: str) -> int:
    """Print all about one model, and where it is; the exit status is 1 if no server has it."""
    found = await _found(model_servers(settings), name)
    shown = next((details for details in found.values() if isinstance(details, ModelDetails)), None)
    console = Console(highlight=False)
    if shown is not None:
        for label, value in _facts(shown):
            console.print(f"{label:<14}{value}", markup=False)
    for where, details in found.items():
        says = "has it" if isinstance(details, ModelDetails) else reason_of(details)
        console.print(f"{where}: {says}", markup=False, style="" if says == "has it" else "dim")
    return 0 if shown is not None else 1


async def _held(control: ModelControl, endpoint: Endpoint) -> Held:
    where, turn = endpoint.address, asyncio.Semaphore(_AT_ONCE)

    async def with_context(info: ModelInfo) -> ModelInfo:
        if info.context_tokens is not None:
            return info
        try:
            async with turn:
                shown = await control.show(endpoint, info.name)
        except EngineError:
            return info
        return replace(info, context_tokens=shown.info.context_tokens)

    try:
        listed, loaded = await asyncio.gather(control.list(endpoint), control.ps(endpoint))
    except EngineError as exc:
        return Held(where, reason=reason_of(exc))
    return Held(where, await asyncio.gather(*map(with_context, listed)), loaded)


async def _told(server: Listed) -> Held:
    where, lists = server.endpoint.address, server.lists
    try:
        models = await lists.models(server.endpoint)
        return Held(where, models, await lists.loaded(server.endpoint))
    except EngineError as exc:
        return Held(where, reason=reason_of(exc))


async def _found(servers: ModelServers, name: str) -> dict[str, ModelDetails | EngineError]:
    """What each server knows of the model, by its address."""

    async def managed(endpoint: Endpoint) -> ModelDetails | EngineError:
        try:
            return await servers.control.show(endpoint, name)
        except EngineError as exc:
            return exc

    async def told(server: Listed) -> ModelDetails | EngineError:
        try:
            models = await server.lists.models(server.endpoint)
        except EngineError as exc:
            return exc
        match = next((info for info in models if info.name == name), None)
        return ModelDetails(match) if match else ModelMissing("there is no such model")

    endpoints = [*servers.managed, *(server.endpoint for server in servers.others)]
    answers = await asyncio.gather(*map(managed, servers.managed), *map(told, servers.others))
    return dict(zip((endpoint.address for endpoint in endpoints), answers, strict=True))


def _facts(details: ModelDetails) -> Iterator[tuple[str, str]]:
    info = details.info
    facts = {
        "model": info.name,
        "family": details.family,
        "parameters": info.parameters,
        "quantisation": info.quantisation,
        "size": decimal(info.size_bytes) if info.size_bytes else "",
        "context": f"{info.context_tokens:,} tokens" if info.context_tokens else "",
        "can": ", ".join(details.capabilities),
        "thinks": {True: "yes", False: "no", None: ""}[info.thinks],
        "options": "; ".join(" ".join(line.split()) for line in details.options.splitlines()),
        "license": details.license.strip().partition("\n")[0],
    }
    yield from ((label, plain(value)) for label, value in facts.items() if value)
