"""Hostile files through the real child process."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from backend.config import Ingest
from backend.core.errors import UnreadableDocument
from backend.ingest.parse.reader import SandboxReader
from tests.support import files

SAMPLE = Path(__file__).parents[2] / "backend" / "sample"
MIB = 1 << 20


@pytest.fixture
async def make():
    readers = []

    def build(**settings):
        readers.append(SandboxReader(Ingest(**settings)))
        return readers[-1]

    yield build
    for reader in readers:
        await reader.close()


async def test_every_format_is_read_with_its_language(make):
    reader = make()
    for path in sorted(SAMPLE.glob("*/*.*")):
        document = await reader.read(path.name, path.read_bytes())
        assert document.language == path.parent.name, path.name
        words = document.text.split()
        assert 350 < len(words) < 1000, path.name
        assert 3.5 < sum(sum(map(str.isalpha, word)) for word in words) / len(words) < 7, path.name
        assert not set(document.title) & set("|#<>"), path.name


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("password.pdf", files.pdf(files.lines("x"), password="pw"), "encrypted"),
        ("damaged.pdf", b"%PDF-1.4\n" + b"rubbish" * 99, "damaged"),
        ("scan.pdf", files.pdf([], []), r"no text in it \(a scan\?\)"),
        ("pages.pdf", files.pdf(*[files.lines("x")] * 12), "more than 10 pages"),
        ("long.txt", b"word " * 60_000, "more than 200000 characters"),
        ("blank.md", "\u00a0\u200b\n".encode() * 9, "no text"),
        ("binary.txt", bytes(range(1, 256)) * 99, "not text"),
    ],
)
async def test_a_bad_file_is_refused_with_its_reason(make, name, data, reason):
    with pytest.raises(UnreadableDocument, match=reason) as refused:
        await make(max_pages=10, max_text_chars=200_000).read(name, data)
    assert len(refused.value.message) < 200


@pytest.mark.parametrize("layers", [1, 3])
async def test_a_flate_bomb_dies_in_its_own_process(make, layers):
    reader = make(parse_memory_bytes=200 * MIB, parse_timeout_s=60)
    with pytest.raises(UnreadableDocument, match="memory"):
        await reader.read("bomb.pdf", files.flate_bomb(160, layers))
    assert (await reader.read("next.md", b"# Still here\n\ntext")).title == "Still here"


async def test_a_page_that_draws_for_ever_is_stopped(make):
    reader = make(parse_memory_bytes=300 * MIB, parse_timeout_s=2, max_text_chars=100_000)
    with pytest.raises(UnreadableDocument, match=r"memory|longer|characters"):
        await reader.read("bomb.pdf", files.text_bomb(3_000_000))


async def test_a_file_that_takes_too_long_is_stopped_and_the_next_one_is_read(make):
    reader = make(parse_timeout_s=0.5)
    with pytest.raises(UnreadableDocument, match=r"longer than 0\.5 s"):
        await reader.read("brackets.md", b"[" * 5_000_000)
    assert (await reader.read("next.md", b"# Still here\n\ntext")).title == "Still here"


async def test_a_child_that_was_killed_is_replaced(make):
    reader = make(parse_processes=1)
    await reader.read("a.md", b"# A\n\ntext")
    os.killpg(reader._idle[0]._process.pid, signal.SIGKILL)
    await reader._idle[0]._process.wait()
    assert (await reader.read("b.md", b"# B\n\ntext")).title == "B"


async def test_a_child_that_dies_while_it_reads_costs_that_file_only(make):
    reader = make(parse_processes=1)
    await reader.read("a.md", b"# A\n\ntext")
    pid = reader._idle[0]._process.pid
    reading = asyncio.ensure_future(reader.read("b.md", b"[" * 5_000_000))
    await asyncio.sleep(0.2)
    os.killpg(pid, signal.SIGKILL)
    with pytest.raises(UnreadableDocument, match="interrupted"):
        await reading
    assert (await reader.read("c.md", b"# C\n\ntext")).title == "C"


async def test_files_are_read_side_by_side_and_a_cancelled_one_frees_its_place(make):
    reader = make(parse_processes=1, parse_timeout_s=600)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await reader.read("brackets.md", b"[" * 5_000_000)
    async with asyncio.timeout(60):
        found = await asyncio.gather(*(reader.read(f"{n}.md", f"# {n}\n\ntext é".encode()) for n in "abc"))
    assert [document.title for document in found] == ["a", "b", "c"]


async def test_the_child_loads_only_what_reading_needs(make):
    reader = make()
    await reader.read("a.md", b"# A\n\ntext")
    pid = reader._idle[0]._process.pid
    mapped = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")
    assert not [library for library in ("torch", "chroma", "onnx", "tantivy", "redis") if library in mapped]
    assert Path(f"/proc/{pid}/environ").read_bytes().count(b"=") <= 3


async def test_without_any_title_the_name_serves(make):
    assert (
        await make().read("dossier/notes_de-lecture.txt", b"one. two.\n\nthree.")
    ).title == "notes de lecture"
