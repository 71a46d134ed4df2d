"""Files below a path: what is read, in which order, what is refused and why."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backend.core.errors import NotFound
from backend.ingest.folder import files_below


def below(*paths: Path, max_bytes: int = 100) -> dict[str, str]:
    return {found.name: found.refusal for found in files_below(paths, max_bytes=max_bytes)}


def test_files_come_by_name_whatever_the_disk_says(tmp_path):
    for name in ("b.md", "a.txt", "c/z.html", "c/a.pdf"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    assert list(below(tmp_path)) == ["a.txt", "b.md", "c/a.pdf", "c/z.html"]


def test_hidden_files_and_folders_are_passed_over(tmp_path):
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "a.md").write_text("x")
    (tmp_path / ".b.md").write_text("x")
    assert below(tmp_path) == {}


def test_what_is_not_read_is_named_with_its_reason(tmp_path):
    outside = tmp_path / "outside.md"
    outside.write_text("secret")
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.exe").write_text("x")
    (folder / "big.md").write_text("x" * 101)
    (folder / "link.md").symlink_to(outside)
    (folder / "within.md").symlink_to(folder / "big.md")
    os.mkfifo(folder / "pipe.md")
    refusals = below(folder)
    assert "link that leaves" in refusals["link.md"]
    assert "larger" in refusals["big.md"]
    assert refusals["pipe.md"] == "not a file"
    assert all(refusals.values())


def test_a_file_named_by_itself_is_followed_even_as_a_link(tmp_path):
    (tmp_path / "real.md").write_text("x")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "link.md").symlink_to(tmp_path / "real.md")
    assert below(tmp_path / "sub" / "link.md") == {"link.md": ""}


def test_a_second_file_of_the_same_name_is_refused_and_not_lost_in_silence(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.md").write_text(folder)
    found = list(files_below([tmp_path / "a", tmp_path / "b"], max_bytes=100))
    assert [bool(one.refusal) for one in found] == [False, True]


def test_a_path_that_is_not_there_is_said(tmp_path):
    with pytest.raises(NotFound):
        below(tmp_path / "nothing")
