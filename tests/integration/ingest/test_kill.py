"""`libriassist ingest` killed with -9 and run again: real parsers, embedder, Chroma, tantivy, SQLite."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from backend.config import Settings
from backend.core.clock import SystemClock
from backend.corpus.base import CorpusRef
from backend.corpus.sql import SqlCatalogue
from backend.embedding.models import find
from backend.infra.sql import open_engine
from backend.retrieval.chroma import ChromaIndex
from backend.retrieval.lexical_tantivy import TantivyIndex
from backend.wiring.services import LOCAL_TENANT

CORPUS = CorpusRef(LOCAL_TENANT, "default")
DOCUMENTS = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("documents")
    for n in range(DOCUMENTS):
        parts = (
            f"## Part {p}\n\n" + f"Shelf {n} holds book {p}, lent for {n + p} days. " * 30 for p in range(4)
        )
        (folder / f"{n:02}.md").write_text(f"# Shelf {n}\n\n" + "\n\n".join(parts))
    return folder


@pytest.fixture(scope="module")
def undisturbed(folder, tmp_path_factory):
    home = tmp_path_factory.mktemp("undisturbed")
    assert start(home, folder).wait(300) == 0
    return home


def start(home, folder):
    command = [sys.executable, "-m", "backend", "ingest", str(folder)]
    return subprocess.Popen(command, env=os.environ | {"LIBRI_DATA__DIR": str(home)}, start_new_session=True)


def finished(home) -> int:
    """Items that the process has finished, read beside it."""
    if not (home / "libriassist.db").exists():
        return 0
    engine = create_engine(f"sqlite:///{home / 'libriassist.db'}")
    try:
        with engine.connect() as sql:
            return sql.scalar(text("SELECT count(*) FROM ingestion_items WHERE state = 'done'"))
    except OperationalError:
        return 0  # the tables are not there yet
    finally:
        engine.dispose()


def kill_after(home, folder, items: int) -> None:
    process = start(home, folder)
    deadline = time.monotonic() + 300
    while finished(home) < items and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.poll() is None, "it ended before it could be killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert half_visible(home) == 0


def half_visible(home) -> int:
    """Documents of which SQL has not all passages, or those of another revision."""
    query = text(
        "SELECT count(*) FROM documents d WHERE d.passages != "
        "(SELECT count(*) FROM passages p WHERE p.document = d.id AND p.revision = d.revision) "
        "OR EXISTS (SELECT 1 FROM passages p WHERE p.document = d.id AND p.revision != d.revision)"
    )
    engine = create_engine(f"sqlite:///{home / 'libriassist.db'}")
    try:
        with engine.connect() as sql:
            return sql.scalar(query)
    except OperationalError:
        return 0  # the tables are not there yet
    finally:
        engine.dispose()


async def contents(home):
    embedder = find(Settings().embedding.model, Settings().embedding.precision).id
    engine = open_engine(f"sqlite+aiosqlite:///{home / 'libriassist.db'}")
    dense, lexical = ChromaIndex(home / "chroma", embedder), TantivyIndex(home / "lexical")
    catalogue = SqlCatalogue(engine, SystemClock())
    try:
        documents = await catalogue.documents(CORPUS)
        rows = [(d.id, d.name, d.title, d.revision, d.content_sha256, d.passages) for d in documents]
        texts = [await catalogue.text(CORPUS, d.id) for d in documents]
        kept = [await catalogue.passages(CORPUS, d.revision) for d in documents]
        assert [len(some) for some in kept] == [d.passages for d in documents]
        return rows, texts, kept, await dense.count(CORPUS), await lexical.count(CORPUS)
    finally:
        dense.close()
        lexical.close()
        await engine.dispose()


async def test_a_killed_ingestion_ends_as_an_undisturbed_one(folder, undisturbed, tmp_path):
    home = tmp_path / "killed"
    home.mkdir()
    for items in (0, 4, 8):
        kill_after(home, folder, items)
    assert start(home, folder).wait(300) == 0
    rows, texts, kept, dense, lexical = await contents(home)
    assert (rows, texts, kept, dense, lexical) == await contents(undisturbed)
    assert len(rows) == DOCUMENTS
    assert dense == lexical == sum(row[-1] for row in rows)
