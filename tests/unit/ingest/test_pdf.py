import pytest

from backend.core.errors import UnreadableDocument
from backend.ingest.parse.pages import pdf
from tests.support import files

LONG = "Une ligne assez longue pour aller presque jusqu'au bord droit de la page, vraiment"


def read(data: bytes, *, max_pages: int = 100, max_chars: int = 1_000_000):
    return pdf.read(data, max_pages=max_pages, max_chars=max_chars)


def test_lines_become_paragraphs_under_headings():
    page = [
        (60, 760, 20, "Le titre"),
        (60, 730, 15, "1 Une partie"),
        *files.lines(LONG, LONG, "et la fin.", top=700),
        *files.lines("Un autre paragraphe.", top=630),
    ]
    assert [(b.kind, b.level, b.text) for b in read(files.pdf(page)).blocks] == [
        ("heading", 1, "Le titre"),
        ("heading", 2, "1 Une partie"),
        ("paragraph", 0, f"{LONG} {LONG} et la fin."),
        ("paragraph", 0, "Un autre paragraphe."),
    ]


def test_one_copy_of_a_running_head_stays_and_sentences_are_joined_across_pages():
    pages = [
        [
            (60, 810, 9, "Rapport annuel 2024"),
            *files.lines(f"{text} {LONG}", LONG),
            (300, 20, 9, f"Page {n} / 3"),
        ]
        for n, text in enumerate(("Alpha", "beta", "gamma"), 1)
    ]
    document = read(files.pdf(*pages))
    assert [(b.page, b.text[:7]) for b in document.blocks] == [(1, "Rapport"), (1, "Alpha U")]
    assert "Page" not in document.blocks[1].text
    assert f"{LONG} gamma" in document.blocks[1].text
    assert [(n.code, n.count) for n in document.notes] == [("running_heads_skipped", 2)]


def test_heads_that_differ_in_more_than_the_number_of_the_page_all_stay():
    heads = ("Article 7", "Article 12", "Article 31")
    pages = [[(60, 810, 9, head), *files.lines(f"{head} : {LONG}.")] for head in heads]
    texts = [b.text for b in read(files.pdf(*pages)).blocks]
    assert [head for head in heads if head in texts] == list(heads)


def test_years_in_running_heads_are_no_page_numbers():
    pages = [[(60, 810, 9, f"Budget {year}"), *files.lines(LONG + ".")] for year in (2021, 2023, 2024)]
    texts = [b.text for b in read(files.pdf(*pages)).blocks]
    assert [t for t in texts if t.startswith("Budget")] == ["Budget 2021", "Budget 2023", "Budget 2024"]


def test_a_page_is_kept_for_each_paragraph():
    pages = [files.lines(f"Paragraphe {n}.") for n in (1, 2, 3)]
    assert [b.page for b in read(files.pdf(*pages)).blocks] == [1, 2, 3]


CHAPTERS = ("Ouvrir un compte", "Emprunter", "Rendre", "Prolonger", "Payer", "Fermer un compte")


@pytest.mark.parametrize("leader", [" . . . . . . . . . . . . ", "   "])
def test_a_table_of_contents_is_left_out(leader):
    contents = files.lines(*(f"{chapter}{leader}{n}" for n, chapter in enumerate(CHAPTERS, 2)))
    pages = [[(60, 760, 15, chapter), *files.lines(LONG + ".")] for chapter in CHAPTERS]
    document = read(files.pdf(contents, *pages))
    assert [b.text for b in document.blocks if b.page == 1] == []
    assert [(n.code, n.count) for n in document.notes] == [("contents_skipped", 1)]


def test_a_list_of_counts_is_no_table_of_contents():
    rows = files.lines(*(f"Salle {name}   {n}" for n, name in enumerate("ABCDEF", 2)))
    assert "Salle F" in read(files.pdf(rows)).blocks[0].text


def test_rows_of_a_table_stay_rows():
    rows = [
        (x, 700 - 14 * n, 11, cell)
        for n, row in enumerate((("Carte", "Prix"), ("Famille", "30 €")))
        for x, cell in zip((60, 300), row, strict=True)
    ]
    block = read(files.pdf(rows)).blocks[0]
    assert (block.kind, block.text) == ("table", "Carte | Prix\nFamille | 30 €")


def test_the_title_is_the_metadata_only_if_a_person_wrote_it():
    page = [(60, 760, 20, "Guide du prêt"), *files.lines("Texte.")]
    assert read(files.pdf(page, title="Le guide")).title == "Le guide"
    assert read(files.pdf(page, title="Microsoft Word - guide_v3.docx")).title == "Guide du prêt"
    assert read(files.pdf(page, title="untitled")).title == "Guide du prêt"


def test_a_file_that_needs_a_password_says_so():
    with pytest.raises(UnreadableDocument, match="encrypted"):
        read(files.pdf(files.lines("secret"), password="x"))


def test_an_empty_password_opens():
    assert read(files.pdf(files.lines("Ouvert."), password="")).blocks[0].text == "Ouvert."


def test_too_many_pages_or_too_much_text_is_refused():
    data = files.pdf(*[files.lines("Page.")] * 5)
    with pytest.raises(UnreadableDocument, match="more than 4 pages"):
        read(data, max_pages=4)
    with pytest.raises(UnreadableDocument, match="more than 20 characters"):
        read(data, max_chars=20)


@pytest.mark.parametrize("data", [b"%PDF-1.4\nrubbish", b"%PDF-", files.pdf(files.lines("x"))[:300]])
def test_a_damaged_file_says_so(data):
    with pytest.raises(UnreadableDocument, match="damaged"):
        read(data)


def test_a_page_without_text_gives_no_blocks():
    assert read(files.pdf([])).blocks == ()


def test_a_title_of_another_document_or_the_name_of_a_file_is_not_shown():
    page = [(60, 760, 20, "Guide du prêt"), *files.lines("Texte.")]
    assert read(files.pdf(page, title="Quarterly results template")).title == "Guide du prêt"
    assert read(files.pdf(page, title="guide_pret_v3")).title == "Guide du prêt"
    assert read(files.pdf(page, title="Guide.qxd")).title == "Guide du prêt"
    assert read(files.pdf(page, title="GUIDE DU PRET")).title == "GUIDE DU PRET"


def test_pages_without_text_are_counted():
    notes = read(files.pdf([], files.lines("Texte."), [])).notes
    assert [(n.code, n.count, n.detail) for n in notes] == [("pages_without_text", 2, "2 of 3")]


def test_the_placeholder_of_a_form_is_no_text_of_the_document():
    wait = files.lines(
        "Please wait...",
        "If this message is not eventually replaced with the proper contents of the document, your PDF",
        "viewer may not be able to display this type of document.",
    )
    document = read(files.pdf(wait, files.lines("Annex.")))
    assert [b.text for b in document.blocks] == ["Annex."]
    assert [(n.code, n.detail) for n in document.notes] == [("placeholder_page", "1 of 2")]


@pytest.mark.parametrize(
    ("stamp", "day"),
    [
        ("D:20240131120000+01'00'", "2024-01-31"),
        ("D:202402", "2024-02"),
        ("20231305", "2023"),
        ("yesterday", ""),
    ],
)
def test_dates_become_days(stamp, day):
    assert pdf.day_of(stamp) == day


def test_what_is_filled_in_on_a_form_is_read_with_its_labels():
    document = read(files.form(First_name="Ada", Street="12 rue du Quai", Remark=""))
    assert [(b.kind, b.text) for b in document.blocks] == [
        ("paragraph", "Request for a card"),
        ("list", "First name: Ada\nStreet: 12 rue du Quai\nRules accepted: Yes"),
    ]
