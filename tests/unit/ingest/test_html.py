import pytest

from backend.ingest.parse import html
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
