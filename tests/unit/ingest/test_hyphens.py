import pytest

from backend.ingest.parse.pages.hyphens import Mender


@pytest.mark.parametrize(
    ("lines", "joined"),
    [
        (("le format numé-", "rique est libre"), "le format numérique est libre"),
        (("quelles données êtes-", "vous tenus de publier"), "quelles données êtes-vous tenus de publier"),
        (("au-", "delà du cadre"), "au-delà du cadre"),
        (("aucune n'est due à au-", "cune de ces raisons"), "aucune n'est due à aucune de ces raisons"),
        (("le sous-traitant, donc le sous-", "traitant"), "le sous-traitant, donc le sous-traitant"),
        (("elle a choisi de", "partir"), "elle a choisi de partir"),
        (("— un", "— deux"), "— un\n— deux"),
        (("les services est-", "ce que", "oui, il est là"), "les services est-ce que oui, il est là"),
        (("code ISO-", "8859"), "code ISO- 8859"),
        (("a self-", "service desk"), "a self-service desk"),
        (("in an emer-", "gency"), "in an emergency"),
        (("prenez rendez-", "vous en ligne"), "prenez rendez-vous en ligne"),
        (("a risk-", "based rule"), "a risk-based rule"),
    ],
)
def test_a_word_cut_at_a_line_end_is_mended(lines, joined):
    assert Mender(lines).join(lines) == joined


def test_the_words_of_the_document_decide():
    assert (
        Mender(["un prêt-à-porter", "porte-", "clés", "un porte-clés"]).join(["porte-", "clés"])
        == "porte-clés"
    )
    assert Mender(["un portefeuille"]).join(["porte-", "feuille"]) == "portefeuille"


def test_a_document_that_tells_cuts_from_hyphens_is_believed():
    lines = ["the ru‐", "ling of the pre‐", "vious court was a land-", "mark, but not fi‐", "nal"]
    assert Mender(lines).join(lines) == "the ruling of the previous court was a land-mark, but not final"


def test_a_document_that_cuts_no_words_keeps_its_hyphens():
    lines = ["a multi-", "tenant host", "is multi-tenant, and this vendor-", "neutral one is"]
    assert Mender(lines).join(lines) == "a multi-tenant host is multi-tenant, and this vendor-neutral one is"
