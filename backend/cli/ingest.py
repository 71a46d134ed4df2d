"""`libriassist ingest`, `sync` and `reindex`: in this process, or through the running server."""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from backend.cli.library import Library, Show, open_library
from backend.cli.watch import changes
from backend.config import Settings
from backend.core.errors import InvalidRequest, LibriError
from backend.core.types import Note
from backend.ingest.folder import NO_DOCUMENT, Found, survey
from backend.ingest.jobs import IngestionStatus
from backend.ingest.notes import sentence
from backend.ingest.plan import Plan, plan
from backend.wiring.corpora import all_corpora
from backend.wiring.lazily import open_worker

NAMED = 20
"""So many names are printed in full; of more, how many there are."""


async def run(settings: Settings, options: Namespace) -> int:
    """One of the commands."""
    if options.command == "reindex":
        return await reindex(settings)
    paths = list(options.paths)
    if options.command == "ingest" and options.sample:
        paths.append(Path(str(files("backend") / "sample")))
    if not paths:
        raise InvalidRequest("name a file or a folder, or use --sample")
    prune = options.command == "sync" or options.prune or options.watch
    act = partial(_once, settings, paths, options.corpus, prune=prune, sure=options.yes)
    status = await act()
    if options.watch:
        _say(f"watching {', '.join(map(str, paths))}; Ctrl+C ends it")
        async for _ in changes(paths):
            status = await _again(act)
    return status


async def _once(settings: Settings, paths: Sequence[Path], corpus: str, *, prune: bool, sure: bool) -> int:
    async with open_library(settings, corpus) as library:
        return await read_into(library, paths, prune=prune, sure=sure)


async def _again(act: Callable[[], Awaitable[int]]) -> int:
    """What is away now may be back at the next change."""
    try:
        return await act()
    except LibriError as exc:
        _say(f"libriassist: {exc.message}", "red")
        return 1


async def read_into(library: Library, paths: Sequence[Path], *, prune: bool, sure: bool) -> int:
    """Read files and folders into a corpus.

    Args:
        library: The corpus.
        paths: Files and folders.
        prune: Remove documents whose files are gone from these folders.
        sure: Even if they are more than half of what came from there.

    Returns:
        The exit status: 1 if a file could not be read, or was kept that should go.
    """
    known = await library.documents()
    seen = await asyncio.to_thread(survey, paths, max_bytes=library.max_bytes)
    made = await asyncio.to_thread(plan, seen, known)
    _announce(made)
    for document, entry in made.renamed:
        await library.rename(document, entry)
    with _progress() as show:
        items = await library.read(made.files, show)
    status = _report(items)
    return max(status, await _remove(library, made, sure=sure)) if prune else status


async def reindex(settings: Settings) -> int:
    """Read again what another parser, chunking or embedder made, and what the indexes have lost."""
    failed = 0
    async with open_worker(settings) as reading:
        for ref in await all_corpora(reading.keys, reading.catalogue):
            number = await reading.ingestion.reingest(ref, everything=True)
            if number is not None:
                with _progress() as show:
                    status = await reading.ingestion.run_to_end(ref.tenant, number, _shown(show))
                failed += _report([asdict(item) for item in status.items])
    return 1 if failed else 0


async def _remove(library: Library, made: Plan, *, sure: bool) -> int:
    """Remove what is gone, if that may be; 1 if not."""
    if not made.gone:
        return 0
    if made.emptied and not sure and not _is_wanted(made):
        for line in _much(made):
            _say(f"{line}: nothing is removed; --yes removes them", "red")
        return 1
    _list(f"{len(made.gone)} removed, their files are gone", [one.name for one in made.gone])
    await library.remove(made.gone)
    return 0


def _is_wanted(made: Plan) -> bool:
    """Ask, where somebody can answer."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    for line in _much(made):
        _say(line)
    _list("gone", [one.name for one in made.gone])
    console = Console(stderr=True, highlight=False)
    console.print(f"Remove {len(made.gone)} documents? [y/N] ", end="", markup=False)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _much(made: Plan) -> list[str]:
    return [
        f"{gone} of {came} documents that came from {folder} are gone"
        for folder, (gone, came) in made.emptied.items()
    ]


def _announce(made: Plan) -> None:
    """What becomes of names, and what is not read, before anything is done."""
    if made.aside:
        kinds = Counter(_kind(one) for one in made.aside)
        counted = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common())
        _list(f"{len(made.aside)} skipped ({counted})", [one.name for one in made.aside])
    _list("replaces another document of its name", made.replaced)
    _list("named with its folder, another file has its name", made.beside)
    for document, entry in made.renamed:
        if document.name != entry.name:
            _say(f"{document.name} is now {entry.name}")


def _kind(found: Found) -> str:
    return found.path.suffix.lower() if found.refusal == NO_DOCUMENT else found.refusal


def _list(what: str, names: Sequence[str]) -> None:
    """One line: what holds for these files, and their names."""
    if names:
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        _say(f"{what}: {', '.join(names[:NAMED])}{more}")


def _say(line: str, style: str = "") -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(line, style=style, markup=False)


@contextmanager
def _progress() -> Iterator[Show]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=not sys.stderr.isatty()) as progress:
        task = progress.add_task("reading", total=None)

        def show(status: dict[str, Any]) -> None:
            progress.update(task, total=status["total"] or None, completed=status["finished"])

        yield show


def _shown(show: Show) -> Callable[[IngestionStatus], None]:
    return lambda status: show({"total": status.total, "finished": status.finished})


def _report(items: Sequence[dict[str, Any]]) -> int:
    counts = Counter(item["state"] for item in items)
    passages = sum(item["passages"] for item in items if item["state"] == "done")
    for item in items:
        if item["state"] == "failed":
            _say(f"{item['name']}: {item['reason']}", "red")
    _report_notes([item for item in items if item["state"] == "done" and item["notes"]])
    _say(
        f"{counts['done']} read ({passages} passages), {counts['unchanged']} unchanged, "
        f"{counts['failed']} failed"
    )
    return 1 if counts["failed"] else 0


def _report_notes(noted: Sequence[dict[str, Any]]) -> None:
    """What was left out of which document."""
    for item in noted[:NAMED]:
        _say(f"{item['name']}: {'; '.join(sentence(Note(**note)) for note in item['notes'])}", "yellow")
    if len(noted) > NAMED:
        _say(f"{len(noted) - NAMED} more documents have notes: libriassist documents list", "yellow")
