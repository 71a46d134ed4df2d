"""`libriassist pool`: the pool of the running server as a table; drain, resume, add, remove an instance."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import quote

from rich.console import Console
from rich.table import Table
from rich.text import Text

from backend import environment
from backend.cli.client import ADDRESS_FILE, ServerClient, running_server
from backend.cli.model_rows import plain
from backend.config import Settings
from backend.core.errors import InvalidRequest, Unavailable

_POOL = "/api/v1/admin/pool"
_STATES = {"closed": "in use", "half_open": "being tried", "open": "avoided"}
_REASONS = {
    "engine_unreachable": "refuses connections, or answers 5xx",
    "engine_timeout": "took a request and stayed silent",
    "engine_truncated": "breaks off in mid-answer",
    "engine_error": "reports errors",
    "engine_refused": "refuses our requests",
}
"""By the error's code; docs/operations.md says what to do."""


async def run(settings: Settings, options: Namespace) -> int:
    """One action."""
    match options.action:
        case "drain":
            return await drain(settings, options.id)
        case "resume":
            return await resume(settings, options.id)
        case "add":
            return await add(settings, _new(settings, options))
        case "remove":
            return await remove(settings, options.id)
        case _:
            return await status(settings)


async def status(settings: Settings) -> int:
    """Print the pool; the exit status is 1 if an instance is avoided."""
    async with _server(settings) as server:
        pool = await server.json("GET", _POOL)
    console = Console(highlight=False)
    console.print(_table(pool) if pool["instances"] else "No model server: answers are quoted.")
    console.print(_queue(pool), markup=False)
    if not pool["shared"]:
        console.print("Redis is away: each process uses its own part of the slots.", style="red")
    return 1 if any(one["health"] == "open" for one in pool["instances"]) else 0


async def drain(settings: Settings, id: str) -> int:
    """Let an instance take no more."""
    async with _server(settings) as server:
        one = await server.json("POST", f"{_path(id)}/drain")
    _say(f"{one['id']} takes no more requests; {one['in_flight']} still run there.")
    return 0


async def resume(settings: Settings, id: str) -> int:
    """Let a drained instance take requests again."""
    async with _server(settings) as server:
        one = await server.json("POST", f"{_path(id)}/resume")
    _say(f"{one['id']} takes requests again.")
    return 0


async def add(settings: Settings, new: Mapping[str, Any]) -> int:
    """Put an instance into service; the exit status is 1 if it does not answer."""
    body = {"slots": settings.engine.slots, "models_at_once": settings.engine.max_loaded_models, **new}
    async with _server(settings) as server:
        one = await server.json("POST", f"{_POOL}/instances", json=body)
    well = one["health"] == "closed"
    _say(f"{one['id']} is in the pool" + ("." if well else f", but is avoided: {_reason(one)}."))
    return 0 if well else 1


async def remove(settings: Settings, id: str) -> int:
    """Take an instance out."""
    async with _server(settings) as server:
        await server.json("DELETE", _path(id))
    _say(f"{id} is out of the pool; what runs there is finished.")
    return 0


def _new(settings: Settings, options: Namespace) -> dict[str, Any]:
    """What was said of a new instance; its key is named by a variable, for everybody sees arguments."""
    given = {"id": options.id, "url": options.url, "kind": options.kind, "slots": options.slots}
    given |= {"models": options.model, "key": environment.value_of(options.key_from or "") or None}
    if options.key_from and not given["key"]:
        raise InvalidRequest(f"{options.key_from[:80]} is not set: export the key in it")
    return {name: value for name, value in given.items() if value is not None}


def _server(settings: Settings) -> AbstractAsyncContextManager[ServerClient]:
    if not (settings.data.dir / ADDRESS_FILE).exists():
        raise Unavailable("no server runs with this data folder: start it with `libriassist serve`")
    return running_server(settings)


def _path(id: str) -> str:
    return f"{_POOL}/instances/{quote(id, safe='')}"


def _table(pool: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("instance", "address", "state", "slots", "tokens/s", "on GPU", "loaded"):
        table.add_column(column, overflow="fold")
    for one in pool["instances"]:
        speed, gpu = one["tokens_per_s"], one["on_gpu"]
        table.add_row(
            Text(plain(one["id"])),
            Text(plain(one["address"] or one["kind"])),
            _state(one),
            f"{one['in_flight']} of {one['slots']}",
            "" if speed is None else f"{speed:.0f}",
            Text("" if gpu is None else f"{gpu:.0%}", style="" if gpu in (None, 1) else "red"),
            Text(plain(_models(one))),
        )
    return table


def _state(one: Mapping[str, Any]) -> Text:
    words = "draining" if one["draining"] else _STATES[one["health"]]
    reason = _reason(one)
    style = "red" if one["health"] != "closed" else "yellow" if reason or one["draining"] else ""
    return Text(plain(f"{words}: {reason}" if reason else words), style=style)


def _reason(one: Mapping[str, Any]) -> str:
    return _REASONS.get(one["reason"], str(one["reason"]))


def _models(one: Mapping[str, Any]) -> str:
    ready = ", ".join("any" if name == "*" else name for name in one["ready"])
    return ", ".join(filter(None, (ready, f"{one['loading']} (loading)" if one["loading"] else "")))


def _queue(pool: Mapping[str, Any]) -> str:
    queue, processes = pool["queue"], pool["processes"]
    per_model = ", ".join(f"{plain(model)}: {count}" for model, count in sorted(queue["models"].items()))
    waiting = f"{queue['total']} waiting" + (f" ({per_model})" if per_model else "")
    batch = f", {queue['batch']} of them batch" if queue["batch"] else ""
    return f"{waiting}{batch}; {processes} process{'es' if processes > 1 else ''}"


def _say(text: str) -> None:
    Console(soft_wrap=True, highlight=False).print(text, markup=False)
