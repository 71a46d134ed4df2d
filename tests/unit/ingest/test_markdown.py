from backend.ingest.parse import markdown


def read(source: str):
    return markdown.read(source.encode())


def pairs(source: str):
    return [(block.kind, block.text) for block in read(source).blocks]


def test_front_matter_gives_the_title_and_is_not_text():
    document = read('---\ntitle: "Les clubs"\npermalink: /clubs/\n---\n\n# Autre\n\ntexte')
    assert document.title == "Les clubs"
    assert [b.text for b in document.blocks] == ["Autre", "texte"]


def test_without_front_matter_the_highest_heading_is_the_title():
    assert read("## Petit\n\n# Grand\n").title == "Grand"


def test_containers_lose_their_fences_and_keep_their_titles():
    source = "::: tip Boîte de retour\nOuverte la *nuit*.\n:::\n\n::: lexique\nMot\n:::"
    assert pairs(source) == [
        ("paragraph", "Boîte de retour"),
        ("paragraph", "Ouverte la nuit."),
        ("paragraph", "Mot"),
    ]


def test_marks_links_and_images_become_text():
    assert pairs("Un **mot**, un [lien](http://x) et ~~rien~~ ![image](y.png) `code`.") == [
        ("paragraph", "Un mot, un lien et rien code.")
    ]


def test_tables_lists_quotes_and_code_keep_their_kind():
    source = "| a | b |\n| - | - |\n| 1 | 2 |\n\n1. un\n2. deux\n\n> dit\n\n```sh\nls  -l\n```"
    assert pairs(source) == [
        ("table", "a | b\n1 | 2"),
        ("list", "1. un\n2. deux"),
        ("quote", "dit"),
        ("code", "ls  -l"),
    ]


def test_html_within_is_read_like_a_page():
    source = 'avant\n\n<div style="display:none">\n\ncaché\n\n</div>\n\n'
    source += "<details><summary>Plus</summary>suite</details>"
    assert pairs(source)[0] == ("paragraph", "avant")
    assert "caché" not in str(pairs(source))
    assert "suite" in str(pairs(source))


def test_a_heading_in_markdown_has_its_level():
    assert [(b.text, b.level) for b in read("# A\n\n### B {#id}\n\nx").blocks[:2]] == [("A", 1), ("B", 3)]


def test_zero_width_characters_do_not_survive():
    assert pairs("ig\u200bnore") == [("paragraph", "ignore")]
