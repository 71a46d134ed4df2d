"""`libriassist ingest` and `reindex`: with a progress bar, in this process or through the running server."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from backend.cli.client import ServerClient, running_server
from backend.cli.portions import portions
from backend.config import Settings
from backend.core.errors import InvalidRequest
from backend.corpus.base import CorpusRef
from backend.infra.folder_lock import FolderBusy
from backend.ingest.jobs import IngestionStatus
from backend.wiring.corpora import LOCAL_TENANT, all_corpora
from backend.wiring.lazily import open_worker

Show = Callable[[dict[str, Any]], None]


async def run(settings: Settings, options: Namespace) -> int:
    """Either action."""
    if options.command == "reindex":
        return await reindex(settings)
    return await ingest(settings, options.paths, corpus=options.corpus, sample=options.sample)


async def ingest(settings: Settings, paths: Sequence[Path], *, corpus: str, sample: bool) -> int:
    """Read files and folders into a corpus; the exit status is 1 if a file could not be read."""
    if sample:
        paths = [*paths, Path(str(files("backend") / "sample"))]
    if not paths:
        raise InvalidRequest("name a file or a folder, or use --sample")
    with _progress() as show:
        try:
            async with open_worker(settings) as reading:
                ref = CorpusRef(LOCAL_TENANT, corpus)
                number = await reading.ingestion.submit_path(ref, paths)
                status = await reading.ingestion.run_to_end(LOCAL_TENANT, number, _shown(show))
                final = _plain(status)
        except FolderBusy:
            async with running_server(settings) as server:
                final = await _through(server, settings, paths, corpus, show)
    return _report(final)


async def reindex(settings: Settings) -> int:
    """Read again what another parser, chunking or embedder made, and what the indexes have lost."""
    failed = 0
    async with open_worker(settings) as reading:
        for ref in await all_corpora(reading.keys, reading.catalogue):
            number = await reading.ingestion.reingest(ref, everything=True)
            if number is not None:
                with _progress() as show:
                    status = await reading.ingestion.run_to_end(ref.tenant, number, _shown(show))
                failed += _report(_plain(status))
    return 1 if failed else 0


async def _through(
    server: ServerClient, settings: Settings, paths: Sequence[Path], corpus: str, show: Show
) -> dict[str, Any]:
    """Hand the files to the server that holds the data folder, some at a time."""
    whole: dict[str, Any] = {"total": 0, "finished": 0, "items": []}
    for portion in portions(paths, settings.server.max_upload_bytes, whole["items"]):
        started = await server.upload(corpus, portion)
        done = await server.until_done(started, show)
        whole["items"] += done["items"]
    whole["total"] = whole["finished"] = len(whole["items"])
    show(whole)
    return whole


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


def _plain(status: IngestionStatus) -> dict[str, Any]:
    return {"items": [asdict(item) for item in status.items]}


def _report(final: dict[str, Any]) -> int:
    items: Iterable[dict[str, Any]] = final["items"]
    failed = [item for item in items if item["state"] == "failed"]
    counts = {
        state: sum(item["state"] == state for item in items) for state in ("done", "unchanged", "failed")
    }
    passages = sum(item["passages"] for item in items if item["state"] == "done")
    console = Console(stderr=True, highlight=False)
    for item in failed:
        console.print(f"{item['name']}: {item['reason']}", style="red", markup=False)
    console.print(
        f"{counts['done']} read ({passages} passages), {counts['unchanged']} unchanged, "
        f"{counts['failed']} failed"
    )
    return 1 if failed else 0
