import pytest

from backend.core.types import About, Note
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


TOML = (
    '+++\ntitle = "Les cartes"\ndate = 2024-03-05T10:00:00+01:00\ndescription = "Prix et durée"\n+++\ntexte'
)
YAML = "---\ntitle: Les cartes\ndate: 2023-01-02\nlastmod: 2024-03-05\ndescription: >\n  Prix et\n  durée\n"
YAML += "---\ntexte"


@pytest.mark.parametrize("source", [TOML, YAML, YAML.replace("\n", "\r\n")])
def test_a_front_matter_says_title_date_and_description(source):
    document = read(source)
    assert (document.title, document.about) == ("Les cartes", About("2024-03-05", "Prix et durée"))
    assert pairs(source) == [("paragraph", "texte")]


def test_a_front_matter_that_is_no_yaml_still_gives_its_title():
    assert read("---\ntitle: Cartes: prix\nodd: [\n---\ntexte").title == "Cartes: prix"


def test_a_rule_at_the_top_is_no_front_matter():
    assert pairs("---\n\nLe premier texte.\n\n---\n\nLe second.")[0] == ("paragraph", "Le premier texte.")


def test_shortcodes_go_and_what_they_say_stays_outside_code():
    source = (
        '{{< figure src="a.png" caption="Le guichet" >}}\n\n{{% notice tip %}}\nUn *avis*.\n{{% /notice %}}\n'
    )
    assert pairs(source) == [("paragraph", "Le guichet"), ("paragraph", "Un avis.")]
    assert pairs("```\n{{< ref >}}\n```") == [("code", "{{< ref >}}")]


@pytest.mark.parametrize(
    "source",
    [
        ">" * 10_000 + " fond",
        "- " * 10_000 + "fond",
        "\n".join("  " * depth + "- x" for depth in range(300)) + "\n\n" + "> " * 300 + "fond",
        "<div>" * 3000 + "fond",
        "**" * 10_000 + "fond",
        "[a" * 2000 + "fond",
        "[" * 10_000 + "fond",
    ],
)
def test_text_however_deep_is_read(source):
    assert read(source).blocks[-1].text.endswith("fond")


@pytest.mark.parametrize("kind", ["png", "svg+xml", "vnd.ms-excel"])
def test_data_in_an_address_is_no_text_and_is_noted(kind):
    document = read(f"avant\n\n![plan](data:image/{kind};base64,{'iVBORw0KGgo' * 30})\n\naprès")
    assert [block.text for block in document.blocks] == ["avant", "après"]
    assert Note("data_skipped") in document.notes


def test_a_bad_byte_is_noted_and_costs_no_other_letter():
    document = markdown.read("# Été\n\nà l'école".encode() + b"\x9c" + " élémentaire".encode())
    assert document.blocks[-1].text == "à l'école élémentaire"
    assert document.notes == (Note("characters_replaced"),)
