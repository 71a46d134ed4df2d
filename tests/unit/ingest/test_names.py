import pytest

from backend.core.errors import InvalidRequest
from backend.ingest.parse.names import safe_name


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("notes.md", "notes.md"),
        ("dossier/notes.md", "dossier/notes.md"),
        ("dossier\\notes.md", "dossier/notes.md"),
        ("/etc/passwd.txt", "etc/passwd.txt"),
        ("C:\\Users\\x\\livre.pdf", "Users/x/livre.pdf"),
        ("./a//b/./c.md", "a/b/c.md"),
        ("  spaced .md ", "spaced .md"),
        ("e\u0301te\u0301.md", "été.md"),
        ("..caché.md", "..caché.md"),
    ],
)
def test_harmless_oddities_are_mended(given, kept):
    assert safe_name(given) == kept


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "/",
        ".",
        "../secret.md",
        "a/../../b.md",
        "a\\..\\b.md",
        "a\x00.md",
        "a\n.md",
        "a\u202egnp.md",
        "a\u200b.md",
        "\ud800.md",
        "x" * 300 + ".md",
        "a/" * 17 + "b.md",
        "CON",
        "aux.txt",
        "dir/lpt1.md",
    ],
)
def test_deceiving_names_are_refused_without_being_repeated(name):
    with pytest.raises(InvalidRequest) as refused:
        safe_name(name)
    assert len(refused.value.message) < 120


def test_a_kept_name_is_kept_again():
    assert safe_name(safe_name("\\a\\ b \\c.md")) == "a/b/c.md"
