import pytest

from backend.core.errors import UnreadableDocument
from backend.ingest.parse import html
from backend.ingest.parse.hidden import unseen_selectors, unseen_style


def read(markup: str):
    return html.read(markup.encode())


def text(markup: str) -> str:
    return "\n".join(block.text for block in read(markup).blocks)


PAGE = """<!DOCTYPE html><html><head>
<title>Cartes | Les Deux Rives</title><style>.secret{display:none}</style></head>
<body><header><a href="/">Accueil</a><nav><ul><li>Menu</li></ul></nav></header>
<div id="cookie-banner">Nous aimons les cookies</div>
<main><h1><a class="header-anchor" href="#a">#</a> Cartes et tarifs</h1>
<p>Une carte coûte<br>18&nbsp;€ <svg><text>icône</text></svg>par an.</p>
<ul><li>étudiants : <b>9 €</b></li><li>enfants<ul><li>gratuite</li></ul></li></ul>
<table><caption>Prix</caption><tr><th>Carte</th><th>Prix</th></tr>
<tr><td>Famille</td><td>30 €</td></tr></table>
<pre><code>a  b
c</code></pre><blockquote><p>Lisez.</p></blockquote><p class="secret">caché</p></main>
<aside>Publicité</aside><footer>Mentions</footer><script>alert(1)</script></body></html>"""


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


@pytest.mark.parametrize(
    "hidden",
    [
        '<p style="display: none">X</p>',
        '<p style="visibility:hidden">X</p>',
        '<p style="font-size:0">X</p>',
        '<p style="font-size:1px">X</p>',
        '<p style="opacity:0">X</p>',
        '<p style="color:#FFF">X</p>',
        '<p style="color: rgb(255, 255, 255)">X</p>',
        '<p style="position:absolute;left:-9999px">X</p>',
        '<div style="height:0;overflow:hidden"><p>X</p></div>',
        '<p aria-hidden="true">X</p>',
        "<p hidden>X</p>",
        '<font color="white">X</font>',
        '<span class="sr-only">X</span>',
        "<!-- X -->",
        "<template>X</template>",
        "<noscript>X</noscript>",
        '<style>#z{text-indent:-9999px}</style><p id="z">X</p>',
        "<div role=navigation>X</div>",
        '<div class="cookie-consent">X</div>',
        "<button>X</button>",
    ],
)
def test_hidden_text_and_furniture_are_not_read(hidden):
    assert text(f"<p>before</p>{hidden}<p>after</p>") == "before\nafter"


@pytest.mark.parametrize(
    "style",
    [
        "font-size:0.8em",
        "font-size:9px",
        "font-size:10px",
        "opacity:0.9",
        "color:#fff;background:#000",
        "color:#ffe",
    ],
)
def test_small_or_pale_text_is_still_read(style):
    assert not unseen_style(style)


def test_a_style_for_print_hides_nothing_on_the_screen():
    sheet = "@media print { .a { display:none } } .b, #c, div.d { display:none } .e { color:red }"
    assert unseen_selectors(sheet) == {".b", "#c", ".d"}


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


def test_deep_nesting_is_refused():
    with pytest.raises(UnreadableDocument, match="deeply"):
        read("<div>" * 100_000 + "x")


@pytest.mark.parametrize(
    "markup", ["", "<", "<!---->", "&#0;", "</p></p>", "<p", "\x0b", "<html><head></html>"]
)
def test_broken_markup_gives_no_text_and_no_error(markup):
    assert isinstance(text(markup or " "), str)
