"""What reading folders into a corpus does to its documents: names, renames, replacements, what is gone."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from pathlib import Path

import pytest

from backend.corpus.base import CorpusRef, Document
from backend.ingest.folder import survey
from backend.ingest.plan import Plan, plan
from tests.unit.ingest.test_folder import unreadable, write

BOOKS = CorpusRef("local", "books")


class Shelf:
    """A corpus that plans are carried out on."""

    def __init__(self) -> None:
        self.documents: dict[str, Document] = {}
        self.made = Plan()

    def read(self, *folders: Path, prune: bool = False) -> Plan:
        self.made = plan(survey(folders, max_bytes=1000), list(self.documents.values()))
        ids = {entry.name: old.id for old, entry in self.made.renamed}
        for old, _ in self.made.renamed:
            del self.documents[old.name]
        for entry in self.made.files:
            if not entry.refusal:
                known = self.documents.get(entry.name)
                id = ids.get(entry.name) or (known.id if known else f"id of {entry.name}")
                self.documents[entry.name] = document(entry.name, entry.path.read_bytes(), entry.origin, id)
        for gone in self.made.gone if prune else ():
            del self.documents[gone.name]
        return self.made

    @property
    def names(self) -> list[str]:
        return sorted(self.documents)


def document(name: str, data: bytes, origin: str = "", id: str = "") -> Document:
    sha = hashlib.sha256(data).hexdigest()
    kind = ("text/plain", "en", "r", sha, len(data))
    return Document(id or name, BOOKS, name, name, *kind, 1, 0.0, 0.0, origin)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def test_names_in_one_folder_are_relative_to_it(shelf, tmp_path):
    shelf.read(write(tmp_path / "handbook", "a.md", "sub/b.md"))
    assert shelf.names == ["a.md", "sub/b.md"]
    assert not shelf.made.beside


@pytest.mark.parametrize("at_once", [True, False])
def test_files_of_one_name_in_two_folders_both_stay_however_often_they_are_read(shelf, tmp_path, at_once):
    one, two = (write(tmp_path / name, "README.md", text=name) for name in ("one", "two"))
    for _ in range(2):
        for roots in [(one, two)] if at_once else [(one,), (two,)]:
            shelf.read(*roots)
            assert not shelf.made.replaced
    assert shelf.names == ["README.md", "two/README.md"]
    assert shelf.documents["two/README.md"].origin == (two / "README.md").as_uri()
    assert shelf.read(two, one).beside == []


def test_folders_of_one_name_are_told_apart_by_those_above(shelf, tmp_path):
    roots = [write(tmp_path / above / "docs", "a.md", text=above) for above in ("x", "y", "z")]
    shelf.read(*roots)
    assert shelf.names == ["a.md", "docs/a.md", "z/docs/a.md"]
    assert shelf.made.beside == ["docs/a.md", "z/docs/a.md"]


def test_a_file_is_one_document_whichever_root_it_is_reached_through(shelf, tmp_path):
    write(tmp_path / "a", "x.md", "sub/x.md", "sub/y.md")
    shelf.read(tmp_path / "a")
    before = dict(shelf.documents)
    shelf.read(tmp_path / "a" / "sub")
    shelf.read(tmp_path / "a" / "sub" / "y.md")
    shelf.read(tmp_path / "a" / "sub", tmp_path / "a")
    assert shelf.documents == before


def test_a_document_that_was_handed_in_otherwise_is_replaced_with_a_word(shelf, tmp_path):
    shelf.documents = {"a.md": document("a.md", b"x"), "b.md": document("b.md", b"other")}
    made = shelf.read(write(tmp_path, "a.md", "b.md"))
    assert made.replaced == ["b.md"]
    assert all(one.origin for one in shelf.documents.values())
    write(tmp_path, "a.md", text="new")
    assert shelf.read(tmp_path).replaced == []


def test_what_is_gone_from_a_folder_is_told_and_nothing_of_others(shelf, tmp_path):
    one, two = write(tmp_path / "one", "a.md", "b.md", "sub/c.md"), write(tmp_path / "one-more", "d.md")
    shelf.read(one, two)
    shelf.documents["e.md"] = document("e.md", b"uploaded")
    (one / "sub" / "c.md").unlink()
    (two / "d.md").unlink()
    made = shelf.read(one, prune=True)
    assert [gone.name for gone in made.gone] == ["sub/c.md"]
    assert made.emptied == {}
    assert shelf.names == ["a.md", "b.md", "d.md", "e.md"]
    assert [gone.name for gone in shelf.read(one / "sub", two).gone] == ["d.md"]


def test_more_than_half_gone_or_all_is_much(shelf, tmp_path):
    write(tmp_path, "a.md", "b.md", "c.md")
    shelf.read(tmp_path)
    for name, much in (("a.md", False), ("b.md", True), ("c.md", True)):
        (tmp_path / name).unlink()
        assert bool(shelf.read(tmp_path).emptied) is much


def test_one_folder_of_several_that_is_empty_is_much(shelf, tmp_path):
    large, small = (
        write(tmp_path / "large", *(f"{n}.md" for n in range(9))),
        write(tmp_path / "small", "a.md"),
    )
    shelf.read(large, small)
    (small / "a.md").unlink()
    assert shelf.read(large, small).emptied == {small: (1, 1)}


def test_what_cannot_be_read_now_is_not_gone(shelf, tmp_path):
    write(tmp_path / "f", "a.md", "big.md", "link.md", "pipe.md")
    shelf.read(tmp_path / "f")
    write(tmp_path / "f", "big.md", text="x" * 1001)
    for name in ("link.md", "pipe.md"):
        (tmp_path / "f" / name).unlink()
    (tmp_path / "f" / "link.md").symlink_to("/etc/hostname")
    os.mkfifo(tmp_path / "f" / "pipe.md")
    made = shelf.read(tmp_path / "f")
    assert made.gone == []
    assert [entry.name for entry in made.files if entry.refusal] == ["big.md", "link.md", "pipe.md"]


def test_what_lay_in_a_folder_that_cannot_be_read_is_not_gone(shelf, tmp_path):
    write(tmp_path, "a.md")
    unreadable(tmp_path)
    (closed,) = survey([tmp_path], max_bytes=1).closed
    origin = (closed / "b.md").as_uri()
    shelf.documents = {"b.md": document("b.md", b"x", origin), "c.md": document("c.md", b"x", f"{origin}x")}
    assert shelf.read(tmp_path).gone == []


def test_what_lay_in_a_folder_that_is_now_a_link_elsewhere_is_not_gone(shelf, tmp_path):
    write(tmp_path / "f", "a.md", "shared/b.md")
    shelf.read(tmp_path / "f")
    (tmp_path / "f" / "shared").rename(tmp_path / "elsewhere")
    (tmp_path / "f" / "shared").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert shelf.read(tmp_path / "f").gone == []


def test_a_renamed_file_is_the_same_document(shelf, tmp_path):
    write(tmp_path, "a.md", text="one")
    write(tmp_path, "b.md", text="two")
    shelf.read(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.md").rename(tmp_path / "sub" / "c.md")
    made = shelf.read(tmp_path)
    assert [(old.name, new.name) for old, new in made.renamed] == [("a.md", "sub/c.md")]
    assert made.gone == []
    assert {one.name: one.id for one in shelf.documents.values()} == {
        "sub/c.md": "id of a.md",
        "b.md": "id of b.md",
    }


def test_a_folder_that_moved_within_its_root_keeps_every_file_apart(shelf, tmp_path):
    write(tmp_path, "v1/a.md", "v1/b.md", "v1/c.md", text="the same in all")
    shelf.read(tmp_path)
    (tmp_path / "v1").rename(tmp_path / "v2")
    made = shelf.read(tmp_path)
    assert [(old.name, new.name) for old, new in made.renamed] == [
        ("v1/a.md", "v2/a.md"),
        ("v1/b.md", "v2/b.md"),
        ("v1/c.md", "v2/c.md"),
    ]


def test_a_root_that_moved_is_read_under_the_same_names(shelf, tmp_path):
    write(tmp_path / "old", "a.md", "b.md")
    shelf.read(tmp_path / "old")
    (tmp_path / "old").rename(tmp_path / "new")
    write(tmp_path / "new", "b.md", text="changed")
    made = shelf.read(tmp_path / "new")
    assert shelf.names == ["a.md", "b.md"]
    assert made.replaced == ["b.md"]


def test_a_copy_is_no_rename_and_a_file_in_anothers_place_no_removal(shelf, tmp_path):
    write(tmp_path, "a.md", text="one")
    write(tmp_path, "b.md", text="two")
    shelf.read(tmp_path)
    write(tmp_path, "copy.md", text="one")
    assert shelf.read(tmp_path).renamed == []
    (tmp_path / "a.md").replace(tmp_path / "b.md")
    (tmp_path / "copy.md").unlink()
    made = shelf.read(tmp_path, prune=True)
    assert {gone.name for gone in made.gone} == {"a.md", "copy.md"}
    assert shelf.names == ["b.md"]


def test_a_name_that_differs_in_case_alone_is_a_rename(shelf, tmp_path):
    write(tmp_path, "Readme.md", text="one")
    shelf.read(tmp_path)
    (tmp_path / "Readme.md").rename(tmp_path / "README.md")
    assert [new.name for _, new in shelf.read(tmp_path).renamed] == ["README.md"]
    assert shelf.names == ["README.md"]


def test_names_that_look_alike_are_two_documents(shelf, tmp_path):
    for form in ("NFC", "NFD"):
        write(tmp_path / "f", unicodedata.normalize(form, "é.md"), text=form)
    os.close(os.open(os.fsencode(tmp_path / "f") + b"/caf\xe9.md", os.O_CREAT))
    os.close(os.open(os.fsencode(tmp_path / "f") + b"/caf\xe8.md", os.O_CREAT))
    for _ in range(2):
        shelf.read(tmp_path / "f")
        assert shelf.names == ["caf?.md", "f/caf?.md", "f/é.md", "é.md"]


def test_a_name_in_another_form_of_the_same_letters_is_no_change(shelf, tmp_path):
    write(tmp_path, unicodedata.normalize("NFD", "é.md"))
    shelf.read(tmp_path)
    (tmp_path / unicodedata.normalize("NFD", "é.md")).rename(tmp_path / "é.md")
    made = shelf.read(tmp_path)
    assert [(old.name, new.name) for old, new in made.renamed] == [("é.md", "é.md")]
    assert made.replaced == made.gone == []


def test_a_name_that_cannot_be_kept_is_refused_with_its_reason(shelf, tmp_path):
    write(tmp_path, f"{'long' * 40}/{'name' * 12}.md", "con.md", "a\nb.md", "good.md")
    made = shelf.read(tmp_path)
    assert shelf.names == ["good.md"]
    assert sum(bool(entry.refusal) for entry in made.files) == 3


def test_what_is_no_document_is_set_aside(shelf, tmp_path):
    made = shelf.read(write(tmp_path, "a.md", "logo.png"))
    assert [one.name for one in made.aside] == ["logo.png"]
    assert [entry.name for entry in made.files] == ["a.md"]
