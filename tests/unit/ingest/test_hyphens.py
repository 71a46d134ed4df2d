import pytest

from backend.ingest.parse.hyphens import Mender


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
