"""Office files, books, messages and lists, made here."""

import zipfile
from email.message import EmailMessage
from io import BytesIO

import openpyxl
import pytest

from backend.core.errors import UnreadableDocument
from backend.ingest.parse.detect import media_type
from backend.ingest.parse.readers import read
from loadtests.reading import office_files as made
from loadtests.reading.office_files import Case, word, word_file

CASES = {case.suffix: case for case in made.cases()}


def document(suffix: str, data: bytes):
    kind = media_type(f"file{suffix}", data)
    return read(kind, data, max_pages=10, max_chars=1_000_000)


def texts(suffix: str, data: bytes) -> list[str]:
    return [block.text for block in document(suffix, data).blocks]


@pytest.fixture(params=list(CASES))
def case(request) -> Case:
    return CASES[request.param]


def test_what_is_seen_comes_out_and_what_is_hidden_does_not(case):
    found = document(case.suffix, case.data)
    text = "\n".join(block.text for block in found.blocks)
    assert made.SECRET not in text
    assert all(words in text for words in case.seen)


def test_headings_and_items_keep_what_they_are(case):
    found = document(case.suffix, case.data).blocks
    assert [b.text for b in found if b.kind == "heading" and b.text in case.headings] == list(case.headings)
    items = [line for b in found if b.kind == "list" for line in b.text.split("\n")]
    assert [item for item in case.items if f"- {item}" in items] == list(case.items)


def test_a_table_is_one_block_and_its_first_row_names_the_columns(case):
    tables = [block for block in document(case.suffix, case.data).blocks if block.kind == "table"]
    assert tables
    for table in tables:
        assert table.text.split("\n")[0].startswith(("Card | Fee | Since", "Carte | Prix | Notes"))
        assert table.head_lines == 1


def test_what_was_left_out_is_told(case):
    notes = {note.code: note.count for note in document(case.suffix, case.data).notes}
    assert set(case.notes) <= set(notes)


def test_the_suffix_tells_the_kind(case):
    assert media_type(f"x{case.suffix}", case.data) == case.media_type


def test_an_archive_under_the_name_of_another_kind_is_refused():
    with pytest.raises(UnreadableDocument.__mro__[1], match=r"\.xlsx would"):
        media_type("x.docx", CASES[".xlsx"].data)


@pytest.mark.parametrize("suffix", [".docx", ".pptx", ".xlsx", ".odt", ".epub"])
@pytest.mark.parametrize("how", ["cut", "empty", "spoilt"])
def test_a_damaged_file_is_an_error_of_the_file(suffix, how):
    data = CASES[suffix].data
    if how == "empty":
        data = made.zipped({"mimetype": "x"})
    elif how == "cut":
        data = data[: len(data) // 2]
    else:
        with zipfile.ZipFile(BytesIO(data)) as file:
            data = made.zipped({name: file.read(name)[:-20] for name in file.namelist()})
    with pytest.raises(UnreadableDocument):
        read(CASES[suffix].media_type, data, max_pages=10, max_chars=1000)


def test_a_declared_entity_is_refused_in_every_kind():
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
    data = CASES[".odt"].data
    with zipfile.ZipFile(BytesIO(data)) as file:
        content = file.read("content.xml").decode()
    with pytest.raises(UnreadableDocument, match="entities"):
        texts(
            ".odt",
            made.zipped(
                {
                    "mimetype": "application/vnd.oasis.opendocument.text",
                    "content.xml": bomb + content.replace(made.PARAGRAPH, "&b;"),
                }
            ),
        )


def test_an_encrypted_office_file_says_so():
    with pytest.raises(UnreadableDocument, match="encrypted"):
        media_type("x.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")


def test_word_keeps_white_text_on_a_dark_ground_and_drops_it_on_white():
    white = '<w:color w:val="FFFFFF"/>'
    cell = '<w:tbl><w:tr><w:tc><w:tcPr><w:shd w:fill="003366"/></w:tcPr>{}</w:tc></w:tr></w:tbl>'
    body = word("gone", run=white) + cell.format(word("kept", run=white)) + word("end")
    assert texts(".docx", word_file(body)) == ["kept", "end"]


def test_word_leaves_out_deleted_text_and_keeps_inserted_text_and_formulas():
    math = 'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'
    body = (
        "<w:p><w:ins><w:r><w:t>new </w:t></w:r></w:ins>"
        "<w:del><w:r><w:delText>old</w:delText></w:r></w:del>"
        f"<m:oMath {math}><m:r><m:t>a+b</m:t></m:r></m:oMath></w:p>"
    )
    assert texts(".docx", word_file(body)) == ["new a+b"]


def test_word_nests_the_items_of_second_level_list_styles():
    styles = made._word_style("P2", "List Bullet 2") + made._word_style("N", "List Number")
    body = word("one", "Puces") + word("in", "P2") + word("two", "Puces") + word("x", "N") + word("y", "N")
    assert texts(".docx", word_file(body, styles=styles)) == ["- one\n  - in\n- two", "1. x\n2. y"]


def test_word_has_its_title_from_the_title_paragraph():
    found = document(".docx", CASES[".docx"].data)
    assert found.title == "Library guide"
    assert [(b.text, b.level) for b in found.blocks if b.kind == "heading"] == [
        ("Library guide", 1),
        ("Lending", 1),
        ("Fees", 2),
    ]


def test_slides_are_pages_read_from_top_to_bottom_the_title_first():
    low, high = made.shape("low", y=4_000_000), made.shape("high", y=1_000_000)
    one = made.slide(low + high + made.shape("Title", "title", y=5_000_000))
    two = made.slide(made.shape("no title"))
    found = document(".pptx", made.slides_file(one, two)).blocks
    assert [(b.text, b.page) for b in found] == [
        ("Title", 1),
        ("high", 1),
        ("low", 1),
        ("Slide 2", 2),
        ("no title", 2),
    ]


def workbook(*rows, **formats: str) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for cell, number_format in formats.items():
        book.active[cell].number_format = number_format
    out = BytesIO()
    book.save(out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("value", "number_format", "shown"),
    [
        (12.0, "General", "12"),
        (0.1 + 0.2, "General", "0.3"),
        (0.256, "0%", "26%"),
        (0.256, "0.0%", "25.6%"),
        (12.5, '0.00 "€"', "12.50 €"),
        (12.5, "#,##0.00\\ [$€-40C]", "12.50 €"),
        (1234.5, "[$$-409]#,##0.00", "$ 1234.50"),
        (45292, "yyyy-mm-dd", "2024-01-01"),
        (45292.5, "dd/mm/yyyy hh:mm", "2024-01-01 12:00"),
        (12345678901234, "0", "12345678901234"),
        (True, "General", "TRUE"),
    ],
)
def test_a_value_of_a_sheet_is_what_its_reader_sees(value, number_format, shown):
    rows = texts(".xlsx", workbook(["Name", "Value"], ["x", value], B2=number_format))
    assert rows == [f"Name | Value\nx | {shown}"]


def test_merged_cells_of_a_sheet_say_their_text_in_each_and_give_two_head_rows():
    book = openpyxl.Workbook()
    for row in (["Town", 2019, None], [None, "Men", "Women"], ["Paris", 1, 2]):
        book.active.append(row)
    book.active.merge_cells("A1:A2")
    book.active.merge_cells("B1:C1")
    out = BytesIO()
    book.save(out)
    (table,) = document(".xlsx", out.getvalue()).blocks
    assert table.text == "Town | 2019 | 2019\nTown | Men | Women\nParis | 1 | 2"
    assert table.head_lines == 2


def test_a_blank_row_ends_a_table_unless_its_numbers_go_on():
    rows = [["Card", "Fee"], ["A", 1], [], ["B", 2], [], ["Room", "Seats"], ["C", "many"]]
    assert texts(".xlsx", workbook(*rows)) == ["Card | Fee\nA | 1\nB | 2", "Room | Seats\nC | many"]


def test_a_sheet_that_goes_on_for_a_million_empty_rows_costs_nothing():
    book = openpyxl.Workbook()
    book.active["A1"] = "only"
    book.active["XFD1048576"].number_format = "0.00"
    out = BytesIO()
    book.save(out)
    assert texts(".xlsx", out.getvalue()) == ["only"]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("Nom;Prix\nA;12,50\n", "Nom | Prix\nA | 12,50"),
        ("Name,Note\nA,x;y\n", "Name | Note\nA | x;y"),
        ("Name\tNote\nA\tx, y\n", "Name | Note\nA | x, y"),
        ("sep=,\na,b\nc,d\n", "a | b\nc | d"),
        ('a;b;c\n"two\nlines";;"x ""y"""\n', 'a | b | c\ntwo lines |  | x "y"'),
        ("a,b\n1,2\n\n3,4\n", "a | b\n1 | 2\n3 | 4"),
    ],
)
def test_the_separator_of_a_list_is_found_out(text, rows):
    assert texts(".csv", text.encode()) == [rows]


def test_a_book_follows_its_spine_and_says_what_it_is():
    found = document(".epub", CASES[".epub"].data)
    assert (found.title, found.about.date, found.about.description) == (
        "Library guide",
        "2024-09-02",
        "For readers",
    )


def test_a_book_under_lock_says_so():
    locked = '<encryption><EncryptedData><EncryptionMethod Algorithm="aes"/></EncryptedData></encryption>'
    with pytest.raises(UnreadableDocument, match="encrypted"):
        document(".epub", made.epub(**{"META-INF/encryption.xml": locked}))


def test_a_message_says_who_wrote_what_and_its_attachments_are_sections():
    found = document(".eml", CASES[".eml"].data)
    assert found.title == "Opening hours"
    assert found.about.date == "2024-09-02"
    assert [(b.text, b.level) for b in found.blocks if b.kind == "heading"] == [
        ("Opening hours", 1),
        ("guide.docx", 2),
        ("Lending", 3),
        ("Fees", 4),
    ]
    assert "From: Ada <ada@example.org>" in found.blocks[1].text


def test_a_message_within_a_message_is_a_section_and_a_text_beside_the_body_is_text():
    inner = EmailMessage()
    inner["Subject"], inner["From"] = "Older", "bob@example.org"
    inner.set_content("First words.")
    outer = EmailMessage()
    outer["Subject"] = "Newer"
    outer.set_content("Second words.")
    outer.add_attachment(inner)
    outer.add_attachment("A footer.", subtype="plain", disposition="inline")
    assert texts(".eml", bytes(outer)) == [
        "Newer",
        "Second words.",
        "Older",
        "From: bob@example.org",
        "First words.",
        "A footer.",
    ]


def test_what_is_no_message_is_refused():
    with pytest.raises(UnreadableDocument, match="not a message"):
        document(".eml", b"just some words\nand more\n")
