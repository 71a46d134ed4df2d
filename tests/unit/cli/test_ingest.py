"""Folders into a corpus, as the command line does it and says it."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.cli import documents
from backend.cli.ingest import read_into
from backend.cli.library import Reading
from backend.corpus.base import CorpusRef
from tests.support.databases import empty_database, sqlite_url
from tests.support.manual_clock import ManualClock
from tests.support.write_path import write_path
from tests.unit.ingest.test_folder import write

BOOKS = CorpusRef("local", "books")


@pytest.fixture
async def path(tmp_path):
    async with empty_database(sqlite_url(tmp_path)) as engine:
        yield write_path(engine, ManualClock())


@pytest.fixture
def library(path):
    return Reading.of(path.ingestion, BOOKS)


@pytest.fixture
def folder(tmp_path) -> Path:
    folder = tmp_path / "handbook"
    for name in ("a", "b", "c", "d"):
        write(folder, f"{name}.md", text=f"Document {name}.")
    return folder


async def names(library: Reading) -> list[str]:
    return [one.name for one in await library.documents()]


async def test_what_is_gone_goes_only_if_that_is_asked_for(library, folder, path):
    assert await read_into(library, [folder], prune=False, sure=False) == 0
    (folder / "d.md").unlink()
    assert await read_into(library, [folder], prune=False, sure=False) == 0
    assert await names(library) == ["a.md", "b.md", "c.md", "d.md"]
    assert await read_into(library, [folder], prune=True, sure=False) == 0
    assert await names(library) == ["a.md", "b.md", "c.md"]
    assert {passage.name for passage in path.dense.of(BOOKS).values()} == {"a.md", "b.md", "c.md"}


async def test_more_than_half_goes_only_if_that_is_sure(library, folder, capsys):
    await read_into(library, [folder], prune=True, sure=False)
    for name in ("a", "b", "c"):
        (folder / f"{name}.md").unlink()
    write(folder, "new.md")
    assert await read_into(library, [folder], prune=True, sure=False) == 1
    assert f"3 of 4 documents that came from {folder} are gone" in capsys.readouterr().err
    assert len(await names(library)) == 5, "what is new is read all the same"
    assert await read_into(library, [folder], prune=True, sure=True) == 0
    assert await names(library) == ["d.md", "new.md"]


async def test_a_renamed_file_keeps_its_document_with_its_old_texts(library, folder, path, capsys):
    await read_into(library, [folder], prune=True, sure=False)
    before = await path.catalogue.by_name(BOOKS, "a.md")
    embedded = len(path.embedder.calls)
    (folder / "a.md").rename(folder / "z.md")
    assert await read_into(library, [folder], prune=True, sure=False) == 0
    assert "a.md is now z.md" in capsys.readouterr().err
    after = await path.catalogue.by_name(BOOKS, "z.md")
    assert (after[0].id, after[0].created) == (before[0].id, before[0].created)
    assert after[1] == before[1], "it is up to date"
    assert (await path.catalogue.text(BOOKS, after[0].id, before[0].revision))[0] == "Document a."
    live = [p for p in path.dense.of(BOOKS).values() if p.revision == after[0].revision]
    assert [(p.name, p.document) for p in live] == [("z.md", after[0].id)]
    assert len(path.embedder.calls) == embedded + 1, "the fake reader makes the title of the name"
    write(folder, "a.md", text="Another.")
    await read_into(library, [folder], prune=True, sure=False)
    assert len(await names(library)) == 5


async def test_images_are_counted_in_one_line_and_are_no_failure(library, folder, capsys):
    write(folder, *(f"img/{n}.png" for n in range(30)), "style.css")
    assert await read_into(library, [folder], prune=False, sure=False) == 0
    told = capsys.readouterr().err.splitlines()
    skipped = [line for line in told if "skipped" in line]
    assert len(skipped) == 1
    assert skipped[0].startswith("31 skipped (30 .png, 1 .css): ")
    assert skipped[0].endswith(" and 11 more")


async def test_what_was_left_out_and_what_replaces_another_is_said(library, folder, path, capsys):
    await path.put(BOOKS, a="handed in by somebody")
    write(folder, "scan.md", text="SCAN of a form")
    assert await read_into(library, [folder], prune=False, sure=False) == 0
    told = capsys.readouterr().err
    assert "replaces another document of its name: a.md" in told
    assert "scan.md: 2 pages hold no text (2 of 3)" in told
    assert told.index("replaces another") < told.index("5 read (5 passages)")


async def test_documents_are_listed_shown_and_removed_by_name(library, folder, capsys):
    write(folder, "scan.md", text="SCAN of a form")
    write(folder, "bad.md", text="BROKEN")
    assert await read_into(library, [folder], prune=False, sure=False) == 1
    capsys.readouterr()
    assert await documents.list_all(library) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in ("a.md", "d.md", "scan.md"))
    assert await documents.show(library, "scan.md") == 0
    shown = capsys.readouterr().out
    assert "2 pages hold no text (2 of 3)" in shown
    assert (folder / "scan.md").as_uri() in shown
    assert await documents.show(library, "nothing.md") == 1
    assert await documents.failed(library) == 0
    assert capsys.readouterr().out == "bad.md: it is damaged\n"
    assert await documents.remove(library, ["a.md", "nothing.md", "b.md", "a.md"]) == 1
    assert await names(library) == ["c.md", "d.md", "scan.md"]


async def test_a_file_that_is_read_after_it_failed_is_no_failure_any_more(library, folder):
    write(folder, "bad.md", text="BROKEN")
    await read_into(library, [folder], prune=False, sure=False)
    assert [item["name"] for item in await library.failed()] == ["bad.md"]
    write(folder, "bad.md", text="mended")
    await read_into(library, [folder], prune=False, sure=False)
    assert await library.failed() == []
