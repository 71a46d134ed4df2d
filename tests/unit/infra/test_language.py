import pytest

from backend.infra.language import detect


@pytest.mark.parametrize(
    "text",
    [
        "Quels sont les horaires de la bibliothèque ?",
        "Qui tue Cedric ?",
        "C’est quoi le cloud computing ?",
        "puis-je renouveler mon prêt",
        "Comment s'inscrire ?\r\nMerci d'avance",
    ],
)
def test_french_is_french_whatever_the_default(text):
    assert detect(text, "en") == detect(text, "fr") == "fr"


@pytest.mark.parametrize(
    "text",
    ["How do I renew a loan?", "opening hours of the library", "What is the RGPD?", "Who was Amboise?"],
)
def test_english_is_english_whatever_the_default(text):
    assert detect(text, "en") == detect(text, "fr") == "en"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Wie viele Urlaubstage habe ich im Jahr?", "de"),
        ("¿Cuántos días de vacaciones tengo al año?", "es"),
        ("Quanti giorni di ferie ho all'anno?", "it"),
        ("Hoeveel vakantiedagen heb ik per jaar?", "nl"),
        ("Quantos dias de férias tenho por ano?", "pt"),
    ],
)
def test_other_languages_that_can_be_stemmed_are_known(text, language):
    assert detect(text) == language


@pytest.mark.parametrize("text", ["", " \n", "?", "12", "ok", "🤖🤖", "\x00", "a"])
def test_an_undecidable_text_takes_the_default(text):
    assert detect(text, "en") == "en"
    assert detect(text, "fr") == "fr"


def test_a_long_text_is_read_only_at_its_beginning():
    assert detect("Le livre est dans la salle. " * 200 + "the of and is are " * 5000, "en") == "fr"
