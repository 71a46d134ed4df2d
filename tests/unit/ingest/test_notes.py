"""What a document leaves out, in words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

import backend
from backend.core.types import Note, NoteCode
from backend.ingest.notes import sentence

PAGE = Path(backend.__file__).parent / "api" / "page"


def test_a_note_says_how_many_and_which() -> None:
    assert sentence(Note("pages_without_text", 2, "2 of 3")) == "2 pages hold no text (2 of 3)"
    assert sentence(Note("pages_without_text", 1)) == "1 page holds no text"


def test_a_note_of_another_release_is_said_as_it_is() -> None:
    assert sentence(Note("stamps_removed", 3)) == "stamps removed: 3"  # type: ignore[arg-type]


@pytest.mark.parametrize("code", get_args(NoteCode))
def test_every_code_has_words_here_and_in_both_languages_of_the_page(code: NoteCode) -> None:
    assert sentence(Note(code, 1)) != f"{code.replace('_', ' ')}: 1"
    assert re.search(r"\b7\b", sentence(Note(code, 7)))
    for language in ("en", "fr"):
        assert f'"note.{code}": {{' in (PAGE / f"words.{language}.js").read_text("utf-8")
