"""A Chroma server for tests; skipped where its command is missing, an error in CI."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devstack import chroma
from tests.support.needed import missing


@contextmanager
def chroma_server(folder: Path | None = None) -> Iterator[chroma.ChromaServer]:
    """A running one, empty unless `folder` holds what another kept."""
    if chroma.program() is None:
        missing("chroma is not installed (pip install chromadb)")
    with chroma.chroma_server(folder) as server:
        yield server
