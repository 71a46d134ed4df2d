"""The page's files: complete, and in keeping with the policy they are served under."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from backend.api import web

PAGE = Path(web.__file__).parent / "page"
HTML = (PAGE / "index.html").read_text()
MODULES = {path.name: path.read_text() for path in PAGE.glob("*.js")}
WORDS = {"words.en.js", "words.fr.js"}


def words(language: str) -> set[str]:
    return set(re.findall(r'"([\w.]+)":', MODULES[f"words.{language}.js"]))


def test_every_file_that_is_named_exists():
    named = re.findall(r'(?:href|src)="assets/([^"]+)"', HTML)
    named += [name for text in MODULES.values() for name in re.findall(r'from "\./([^"]+)"', text)]
    assert {name for name in named if not (PAGE / name).is_file()} == set()


def test_every_module_is_fetched_at_once():
    preloaded = set(re.findall(r'modulepreload" href="assets/([^"]+)"', HTML))
    assert preloaded == set(MODULES) - {"early.js", "page.js"}


def test_nothing_is_inline_and_nothing_comes_from_elsewhere():
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", HTML) == []
    every = HTML + (PAGE / "page.css").read_text() + "".join(MODULES.values())
    assert set(re.findall(r"https?://[^\s\"')]+", every)) <= {"http://www.w3.org/2000/svg"}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_no_module_writes_html_from_strings_or_evaluates_any(name: str):
    assert (
        re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", MODULES[name]
        )
        == []
    )


def test_both_languages_have_the_same_phrases_and_every_phrase_used_exists():
    assert words("en") == words("fr")
    used = set(re.findall(r'data-t(?:-label|-placeholder)?="([^"]+)"', HTML))
    for name in MODULES.keys() - WORDS:
        used |= set(re.findall(r'\bt\("([^"]+)"', MODULES[name]))
    assert used - words("en") == set()


def test_no_phrase_is_left_over():
    text = HTML + "".join(MODULES[name] for name in MODULES.keys() - WORDS)
    computed = (
        "number.",
        "place.",
        "time.",
        "theme.",
        "state.",
        "answer.",
        "degraded.",
        "error.",
        "title.",
        "docs.item.",
        "note.",
        "welcome.",
    )
    left = {key for key in words("en") if key not in text and not key.startswith(computed)}
    assert left == set()
