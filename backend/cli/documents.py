"""`libriassist documents list|show|remove|failed`: through the running server, else in the data folder."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Column, Table

from backend.cli.library import Shelf, open_shelf
from backend.config import Settings
from backend.corpus.base import Document
from backend.ingest.notes import sentence


async def run(settings: Settings, options: Namespace) -> int:
    """One action."""
    async with open_shelf(settings, options.corpus) as shelf:
        match options.action:
            case "show":
                return await show(shelf, options.name)
            case "remove":
                return await remove(shelf, options.names)
            case "failed":
                return await failed(shelf)
            case _:
                return await list_all(shelf)


async def list_all(shelf: Shelf) -> int:
    """Every document, and whether something was left out of it."""
    documents = await shelf.documents()
    table = Table(
        Column("name", overflow="fold"), Column("title", overflow="fold"), "passages", "date", "notes"
    )
    for one in documents:
        noted = str(len(one.notes) or "")
        table.add_row(one.name, one.title, str(one.passages), one.about.date or _day(one.updated), noted)
    Console(highlight=False, markup=False).print(table if documents else "There are no documents.")
    return 0


async def show(shelf: Shelf, name: str) -> int:
    """All about one document; 1 if there is none of that name."""
    found = _named(await shelf.documents(), [name])
    for one in found:
        facts = {
            "name": one.name,
            "title": one.title,
            "description": one.about.description,
            "date": one.about.date,
            "kind": one.media_type,
            "language": one.language,
            "size": f"{one.size_bytes} bytes, {one.passages} passages",
            "read": _day(one.updated),
            "from": one.origin,
            "id": one.id,
        }
        lines = [f"{what:12} {fact}" for what, fact in facts.items() if fact]
        lines += [f"{'note':12} {sentence(note)}" for note in one.notes]
        sys.stdout.write("\n".join(lines) + "\n")
    return 0 if found else 1


async def remove(shelf: Shelf, names: Sequence[str]) -> int:
    """Remove documents by name; 1 if one of the names is nobody's, and the others are removed."""
    found = _named(await shelf.documents(), names)
    await shelf.remove(found)
    for one in found:
        sys.stdout.write(f"{one.name} is removed\n")
    return 0 if len(found) == len(set(names)) else 1


async def failed(shelf: Shelf) -> int:
    """Files that could not be read when they were last handed in, and why."""
    items = await shelf.failed()
    for item in items:
        sys.stdout.write(f"{item['name']}: {item['reason']}\n")
    if not items:
        sys.stdout.write("No file failed when it was last read.\n")
    return 0


def _named(documents: Sequence[Document], names: Sequence[str]) -> list[Document]:
    """Those of these names; what is nobody's is said."""
    known = {one.name: one for one in documents}
    for name in dict.fromkeys(names):
        if name not in known:
            sys.stderr.write(f"libriassist: no document is called {name!a}\n")
    return [known[name] for name in dict.fromkeys(names) if name in known]


def _day(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%d")
