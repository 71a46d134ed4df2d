"""Files below a path: what is read, in which order, what is refused and why."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from backend.core.errors import InvalidRequest, NotFound
from backend.ingest.folder import Survey, read, survey


def look(*paths: Path, max_bytes: int = 100) -> Survey:
    return survey(paths, max_bytes=max_bytes)


def below(*paths: Path) -> dict[str, str]:
    return {found.name: found.refusal for found in look(*paths).found}


def write(folder: Path, *names: str, text: str = "x") -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def unreadable(parent: Path) -> None:
    """A folder in `parent` that nobody can read, not even root: its path is longer than a path may be."""
    here = os.open(parent, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 240, dir_fd=here)
        inner = os.open("d" * 240, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)


def test_files_come_by_name_whatever_the_disk_says(tmp_path):
    write(tmp_path, "b.md", "a.txt", "c/z.html", "c/a.pdf")
    assert list(below(tmp_path)) == ["a.txt", "b.md", "c/a.pdf", "c/z.html"]


def test_what_is_hidden_or_left_by_an_editor_is_passed_over(tmp_path):
    assert below(write(tmp_path, ".git/a.md", ".b.md", "a.md~", "~$b.md", "#c.md#", ".d.md.swp")) == {}


def test_what_is_not_read_is_named_with_its_reason(tmp_path):
    write(tmp_path, "outside.md")
    folder = write(tmp_path / "in", "a.exe")
    write(folder, "big.md", text="x" * 101)
    (folder / "link.md").symlink_to(tmp_path / "outside.md")
    (folder / "within.md").symlink_to(folder / "big.md")
    (folder / "broken.md").symlink_to(folder / "nothing.md")
    (folder / "round.md").symlink_to(folder / "round.md")
    os.mkfifo(folder / "pipe.md")
    refusals = below(folder)
    assert "link that leaves" in refusals["link.md"]
    assert "larger" in refusals["big.md"]
    assert refusals["pipe.md"] == "not a file"
    assert refusals["broken.md"] == "a link to nothing"
    assert "link" in refusals["round.md"]
    assert all(refusals.values())


def test_what_lies_beside_documents_is_told_from_what_cannot_be_read(tmp_path):
    write(tmp_path, "a.md", "logo.PNG", "film.mp4", "style.css", "old.doc")
    assert {one.name for one in look(tmp_path).found if one.aside} == {"logo.PNG", "film.mp4", "style.css"}
    assert below(tmp_path)["old.doc"]


def test_a_link_to_a_folder_is_named_and_not_followed(tmp_path):
    folder = write(tmp_path / "in", "sub/a.md")
    write(tmp_path / "out", "secret.md")
    (folder / "again").symlink_to(folder, target_is_directory=True)
    (folder / "away").symlink_to(tmp_path / "out", target_is_directory=True)
    write(folder, ".v2/b.md")
    (folder / "current").symlink_to(".v2", target_is_directory=True)
    found = {one.name: one for one in look(folder).found}
    assert set(found) == {"again", "away", "current", "sub/a.md"}
    assert found["again"].aside
    assert found["away"].refusal == "a link that leaves the folder"
    assert found["current"].refusal == "a link to a hidden folder"
    assert not found["away"].aside
    assert not found["current"].aside


def test_a_file_named_by_itself_is_followed_even_as_a_link(tmp_path):
    write(tmp_path, "real.md")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "link.md").symlink_to(tmp_path / "real.md")
    assert below(tmp_path / "sub" / "link.md") == {"link.md": ""}


def test_a_folder_that_cannot_be_read_is_named_and_what_it_holds_is_not_known(tmp_path):
    write(tmp_path, "a.md")
    unreadable(tmp_path)
    seen = look(tmp_path)
    assert [bool(one.refusal) for one in seen.found] == [False, True]
    assert seen.found[1].name.endswith("d/")
    assert [path.is_relative_to(tmp_path) for path in seen.closed] == [True]


def test_a_folder_inside_another_is_read_once(tmp_path):
    write(tmp_path, "a.md", "sub/b.md")
    assert below(tmp_path, tmp_path / "sub", tmp_path) == {"a.md": "", "sub/b.md": ""}
    linked = tmp_path.parent / f"{tmp_path.name}-link"
    linked.symlink_to(tmp_path)
    assert len(look(tmp_path, linked).found) == 2


def test_the_place_of_a_file_is_told_byte_for_byte(tmp_path):
    names = [unicodedata.normalize(form, "é.md") for form in ("NFC", "NFD")]
    write(tmp_path, *names)
    os.close(os.open(os.fsencode(tmp_path) + b"/caf\xe9.md", os.O_CREAT))
    origins = {one.origin.rpartition("/")[2] for one in look(tmp_path).found}
    assert origins == {"%C3%A9.md", "e%CC%81.md", "caf%E9.md"}


def test_a_path_that_is_not_there_is_said(tmp_path):
    with pytest.raises(NotFound):
        below(tmp_path / "nothing")


def test_a_file_is_read_as_it_is_and_nothing_else_is_waited_for(tmp_path):
    write(tmp_path, "a.md", text="whole")
    os.mkfifo(tmp_path / "pipe.md")
    assert read(tmp_path / "a.md", max_bytes=5) == b"whole"
    with pytest.raises(InvalidRequest, match="larger"):
        read(tmp_path / "a.md", max_bytes=4)
    with pytest.raises(InvalidRequest, match="not a file"):
        read(tmp_path / "pipe.md", max_bytes=5)
    with pytest.raises(OSError, match="No such file"):
        read(tmp_path / "gone.md", max_bytes=5)
