import base64
import random

import pytest

from backend.core.types import Note
from backend.ingest.parse import plain

GUTENBERG = """The Project Gutenberg EBook of A Book, by Nobody

Title: A Book
  of Several Lines

*** START OF THIS PROJECT GUTENBERG EBOOK A BOOK ***

Produced by Somebody

CHAPTER ONE

It was a day.

*** END OF THIS PROJECT GUTENBERG EBOOK A BOOK ***

Please donate.
"""


def texts(document):
    return [block.text for block in document.blocks]


def test_the_licence_around_a_gutenberg_book_is_left_out():
    document = plain.read(GUTENBERG.encode())
    assert document.title == "A Book of Several Lines"
    assert texts(document) == ["CHAPTER ONE", "It was a day."]


def test_the_first_line_alone_is_the_title():
    document = plain.read(b"Donner des livres\r\n\r\nVenez le mardi.\r\n")
    assert document.title == "Donner des livres"
    assert [b.kind for b in document.blocks] == ["heading", "paragraph"]


def test_capitals_and_underlines_are_headings():
    document = plain.read(b"Title\n=====\n\nx y z.\n\nWHERE TO GO\n\nThere.\n\nPart\n----\ntext")
    assert [(b.text, b.level) for b in document.blocks if b.kind == "heading"] == [
        ("Title", 1),
        ("WHERE TO GO", 2),
        ("Part", 2),
    ]


def test_lines_wrapped_at_a_margin_are_joined():
    line = "a line that goes on until it meets the margin of the old page and"
    document = plain.read(f"{line}\n{line}\n{line}\nstops.\n\n{line}\n{line}".encode())
    assert "\n" not in document.blocks[0].text


def test_short_lines_stay_apart():
    document = plain.read(b"x.\n\n14 quai des Tanneurs\n87999 Valmerle\n\n- one\n- two")
    assert texts(document) == ["x.", "14 quai des Tanneurs\n87999 Valmerle", "- one\n- two"]
    assert document.blocks[-1].kind == "list"


def test_a_sentence_is_no_title():
    assert plain.read(b"This is the first sentence, and it ends.\n\nThen more.").blocks[0].kind == "paragraph"


def test_thousands_of_underlined_lines_are_headings():
    document = plain.read("\n".join(f"Part {n}\n------" for n in range(5000)).encode())
    assert len(document.blocks) == 5000
    assert {block.kind for block in document.blocks} == {"heading"}


@pytest.mark.parametrize("mark", [">", "> ", "- ", "(", "\t"])
def test_text_however_deep_is_read(mark):
    assert plain.read((mark * 10_000 + "deep").encode()).blocks[-1].text.endswith("deep")


BASE64 = base64.b64encode(random.Random(5).randbytes(900)).decode()
WRAPPED = "\n".join(BASE64[start : start + 76] for start in range(0, len(BASE64), 76))


@pytest.mark.parametrize(
    "blob", [BASE64, WRAPPED, "data:font/woff2;base64," + BASE64, random.Random(5).randbytes(200).hex()]
)
def test_data_in_letters_is_left_out_and_noted(blob):
    document = plain.read(f"Before it.\n\n{blob}\n\nAfter it.".encode())
    assert texts(document) == ["Before it.", "After it."]
    assert document.notes == (Note("data_skipped"),)


@pytest.mark.parametrize(
    "text",
    [
        "ACGT" * 80,
        "Donaudampfschifffahrtsgesellschaft" * 6,
        "https://example.org/" + "a-page-of-2024/" * 20,
        "sha256 " + "0123456789abcdef" * 4,
        "\n".join(["/usr/share/doc/some-package-1.2/examples/conf.d/site-available/default/x"] * 4),
    ],
)
def test_long_words_and_addresses_are_no_data(text):
    assert plain.read(f"Before it.\n\n{text} end".encode()).notes == ()
