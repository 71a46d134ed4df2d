"""`libriassist ask`: one question, the answer as it comes, its sources: here, or from the running server."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import asdict
from typing import Any

from rich.console import Console

from backend.chat.base import Question
from backend.cli.client import running_server
from backend.config import Settings
from backend.core.types import ANY_CORPUS, Language, Principal, Role
from backend.infra.folder_lock import FolderBusy
from backend.wiring.lazily import open_services

_OPERATOR = Principal("local", "operator", frozenset(Role), frozenset({ANY_CORPUS}))
Events = AsyncGenerator[tuple[str, Mapping[str, Any]], None]
"""Events of a run by name, their fields as on the wire."""
_CLOSEST = 3
"""So many sources are named of an answer that cites none."""


async def run(settings: Settings, options: Namespace) -> int:
    """The one action."""
    return await ask(settings, options.question, options.language)


async def ask(settings: Settings, text: str, language: Language | None) -> int:
    """Print the answer; the exit status is 0 if there is one."""
    try:
        events = _here(settings, Question(text, language=language))
        async with aclosing(events):
            return await _print(events)
    except FolderBusy:
        body = {"question": text} | ({"language": language} if language else {})
        async with running_server(settings) as server, aclosing(server.ask(body)) as events:
            return await _print(events)


async def _here(settings: Settings, question: Question) -> Events:
    async with open_services(settings) as services:
        run = await services.runs.start(_OPERATOR, question)
        async with aclosing(services.runs.follow(run)) as batches:
            async for batch in batches:
                for entry in batch:
                    yield entry.event.name, asdict(entry.event)


async def _print(events: Events) -> int:
    console = Console(highlight=False)
    sources: Mapping[str, Any] = {"sources": ()}
    async for name, data in events:
        match name:
            case "delta":
                console.print(data["text"], end="", markup=False)
            case "replace" if data["channel"] == "answer":
                console.print("\n\n(the answer begins anew)\n", style="dim", markup=False)
                console.print(data["text"], end="", markup=False)
            case "sources":
                sources = data
            case "error":
                Console(stderr=True).print(f"{data['message']} ({data['code']})", markup=False)
                return 1
            case "done":
                _print_end(console, sources["sources"], data)
                return 0
    Console(stderr=True).print("the answer broke off", markup=False)
    return 1


def _print_end(console: Console, sources: Any, done: Mapping[str, Any]) -> None:
    console.print()
    if "model" in done["degraded"]:
        console.print("(quoted from the documents: no model gave an answer)", style="dim", markup=False)
    cited = [source for source in sources if source["n"] in done["citations"]]
    for source in cited or sources[:_CLOSEST]:
        page = f", p. {source['page']}" if source["page"] else ""
        console.print(f"[{source['n']}] {source['title']}{page}  {source['name']}", style="dim", markup=False)
