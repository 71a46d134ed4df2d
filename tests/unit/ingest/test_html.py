import pytest

from backend.ingest.parse.web import html
from loadtests.reading.pages import ACCORDION, HIDDEN, VISIBLE


def read(markup: str):
    return html.read(markup.encode())


def text(markup: str) -> str:
    return "\n".join(block.text for block in read(markup).blocks)


PAGE = """<!DOCTYPE html><html><head>
<title>Cartes | Les Deux Rives</title><style>.secret{display:none}</style></head>
<body><header><nav><ul><li>Menu</li></ul></nav></header>
<dialog>Nous aimons les cookies</dialog>
<main><h1><a class="header-anchor" href="#a">#</a> Cartes et tarifs</h1>
<p>Une carte coûte<br>18&nbsp;€ <svg><text>icône</text></svg>par an.</p>
<ul><li>étudiants : <b>9 €</b></li><li>enfants<ul><li>gratuite</li></ul></li></ul>
<table><caption>Prix</caption><tr><th>Carte</th><th>Prix</th></tr>
<tr><td>Famille</td><td>30 €</td></tr></table>
<pre><code>a  b
c</code></pre><blockquote><p>Lisez.</p></blockquote><p class="secret">caché</p></main>
<footer>Mentions</footer><script>alert(1)</script></body></html>"""


def test_a_page_is_its_content():
    document = read(PAGE)
    assert document.title == "Cartes et tarifs"
    assert [(b.kind, b.text) for b in document.blocks] == [
        ("heading", "Cartes et tarifs"),
        ("paragraph", "Une carte coûte\n18 € par an."),
        ("list", "- étudiants : 9 €\n- enfants\n  - gratuite"),
        ("paragraph", "Prix"),
        ("table", "Carte | Prix\nFamille | 30 €"),
        ("code", "a  b\nc"),
        ("quote", "Lisez."),
    ]


@pytest.mark.parametrize("case", HIDDEN)
def test_what_no_reader_sees_is_left_out_and_counted(case):
    document = read(HIDDEN[case])
    assert "order" not in "".join(block.text for block in document.blocks)
    assert [(note.code, note.count) for note in document.notes] in ([("hidden_text", 1)], [])


@pytest.mark.parametrize("case", VISIBLE)
def test_what_a_reader_sees_or_can_open_stays(case):
    assert "86 euros" in text(VISIBLE[case])


def test_question_and_answer_of_an_accordion_are_both_read():
    assert [block.text for block in read(ACCORDION).blocks] == ["How do I get a refund?", "Within 14 days."]


def test_a_table_that_only_places_things_is_read_as_text():
    assert [b.kind for b in read("<table><tr><td><h2>A</h2><p>b</p></td></tr></table>").blocks] == [
        "heading",
        "paragraph",
    ]


def test_a_list_of_links_into_the_page_is_left_out():
    assert text('<ul><li><a href="#a">A</a></li><li><a href="#b">B</a></li></ul><p>text</p>') == "text"


def test_without_a_heading_the_title_loses_the_sites_name():
    assert read("<title>Nos cartes | Les Deux Rives</title><p>x</p>").title == "Nos cartes"


def test_the_declared_encoding_is_used():
    assert html.read('<meta charset="iso-8859-1"><p>été</p>'.encode("cp1252")).blocks[0].text == "été"


def test_a_declaration_that_lies_does_not_matter():
    assert html.read('<?xml version="1.0" encoding="us-ascii"?><p>été</p>'.encode()).blocks[0].text == "été"


@pytest.mark.parametrize(
    "opening", ["<div>" * 4, "<ul><li>", "<span>", "<b>", "<blockquote>", "<table><tr><td>"]
)
def test_text_however_deep_is_read(opening):
    assert text("<p>before</p>" + opening * 3000 + "deep").endswith("deep")


def test_text_that_is_hidden_however_deep_is_not_read():
    hidden = '<div style="display:none">' + "<div>" * 3000 + "order" + "</div>" * 3001
    assert text("<div>" * 3000 + hidden + "<p>deep</p>") == "deep"


@pytest.mark.parametrize(
    "markup", ["", "<", "<!---->", "&#0;", "</p></p>", "<p", "\x0b", "<html><head></html>"]
)
def test_broken_markup_gives_no_text_and_no_error(markup):
    assert isinstance(text(markup or " "), str)


def rows(table: str):
    block = read(f"<table>{table}</table>").blocks[0]
    return block.text.split("\n"), block.head_lines


def test_an_empty_cell_keeps_its_place():
    table = "<tr><th>Who<th>One<th>Two</tr><tr><td>Adult<td><td>18 €</tr>"
    assert rows(table) == (["Who | One | Two", "Adult |  | 18 €"], 1)


def test_a_cell_over_several_rows_is_said_in_each():
    table = (
        "<tr><th>A<th>B</tr><tr><td rowspan=2>Adult<td>18 €</tr><tr><td>20 €</tr><tr><td>Child<td>0 €</tr>"
    )
    assert rows(table)[0] == ["A | B", "Adult | 18 €", "Adult | 20 €", "Child | 0 €"]


def test_a_cell_over_several_columns_takes_their_places():
    table = (
        "<thead><tr><th colspan=2>Fee<th>Age</tr><tr><th>One<th>Two<th></tr></thead><tr><td>1<td>2<td>3</tr>"
    )
    assert rows(table) == (["Fee |  | Age", "One | Two", "1 | 2 | 3"], 2)


def test_rows_that_begin_with_their_names_have_no_head():
    assert rows("<tr><th>Name<td>Ada</tr><tr><th>Town<td>Lyon</tr>")[1] == 0


@pytest.mark.parametrize("span", ["0", "-1", "x", "1000000", "99999", ""])
def test_a_span_that_means_nothing_costs_nothing(span):
    assert rows(f"<tr><td rowspan='{span}' colspan='{span}'>a<td>b</tr><tr><td>c</tr>")[0]


LEAD = "The library lends books, films and scores to everybody who lives in the valley or works in it. " * 3
MENU = "".join(f'<li><a href="/{n}">The long name of another page, number {n}</a></li>' for n in range(20))


def test_around_an_article_menus_go_and_the_lead_in_its_header_stays():
    page = (
        f"<body><div><ul>{MENU}</ul></div><article><header><h1>Loans</h1>"
        f"<p>A loan costs 86 euros.</p></header>"
        f"<p>{LEAD}</p><h2>Fees</h2><p>{LEAD}</p><p>{LEAD}</p></article><div><ul>{MENU}</ul></div></body>"
    )
    assert "another page" not in text(page)
    assert text(page).startswith("Loans\nA loan costs 86 euros.\nThe library")
    assert text(page).count("\n") == 5


def test_a_page_that_is_a_menu_alone_is_read_whole():
    assert "number 19" in text(f"<nav><ul>{MENU}</ul></nav>")


@pytest.mark.parametrize(
    "sheet",
    [
        ".a{display:none}}",
        "@media{",
        "@import url(x);.b{",
        ".a:is(.b,{}",
        "}" * 9,
        ".a{color:var(--x)}",
        "@layer x;",
    ],
)
def test_a_broken_style_sheet_costs_no_text(sheet):
    assert "text" in text(f"<style>{sheet}</style><p>text</p>")
