"""`libriassist ask`: one question, the answer as it comes, its sources."""

from __future__ import annotations

from argparse import Namespace
from contextlib import aclosing
from typing import TYPE_CHECKING

from rich.console import Console

from backend.chat.base import Question
from backend.config import Settings
from backend.core.events import Delta, Done, Failed, Sources
from backend.core.types import ANY_CORPUS, Language, Principal, Role
from backend.wiring.lazily import open_services

if TYPE_CHECKING:  # imported when they are opened
    from backend.services import Services

_OPERATOR = Principal("local", "operator", frozenset(Role), frozenset({ANY_CORPUS}))


async def run(settings: Settings, options: Namespace) -> int:
    """The one action."""
    return await ask(settings, options.question, options.language)


async def ask(settings: Settings, text: str, language: Language | None) -> int:
    """Ask in this process; the exit status is 0 for an answer."""
    async with open_services(settings) as services:
        return await _ask(services, Question(text, language=language))


async def _ask(services: Services, question: Question) -> int:
    console = Console(highlight=False)
    run = await services.runs.start(_OPERATOR, question)
    sources = Sources(())
    async with aclosing(services.runs.follow(run)) as batches:
        async for batch in batches:
            for entry in batch:
                match entry.event:
                    case Delta(text):
                        console.print(text, end="", markup=False)
                    case Sources() as found:
                        sources = found
                    case Failed(code=code, message=message):
                        Console(stderr=True).print(f"{message} ({code})", markup=False)
                        return 1
                    case Done() as done:
                        _print_sources(console, sources, done)
    return 0


def _print_sources(console: Console, sources: Sources, done: Done) -> None:
    console.print()
    if "model" in done.degraded:
        console.print("(quoted from the documents: no model gave an answer)", style="dim", markup=False)
    for source in sources.sources:
        if source.n in done.citations:
            page = f", p. {source.page}" if source.page else ""
            console.print(f"[{source.n}] {source.title}{page}  {source.name}", style="dim", markup=False)
