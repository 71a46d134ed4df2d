import pytest

from backend.chat.standalone import leans_on_context, standalone
from backend.core.types import Language


@pytest.mark.parametrize(
    ("question", "language"),
    [
        ("Et le dimanche ?", "fr"),
        ("Combien ça coûte ?", "fr"),
        ("Peut-on le prolonger ?", "fr"),
        ("Et pour les enfants ?", "fr"),
        ("Pourquoi ?", "fr"),
        ("Est-elle payante ?", "fr"),
        ("Qui peut le faire ?", "fr"),
        ("Combien de fois peut-elle être renouvelée ?", "fr"),
        ("And on Sundays?", "en"),
        ("How much does it cost?", "en"),
        ("What about children?", "en"),
        ("Can I renew them online?", "en"),
        ("Why?", "en"),
    ],
)
def test_a_question_that_leans_on_the_one_before_takes_it_along(question: str, language: Language) -> None:
    before = {"fr": "Quels sont les horaires de la bibliothèque ?", "en": "When is the library open?"}[
        language
    ]
    assert standalone(question, [before], language) == f"{before} {question}"


@pytest.mark.parametrize(
    ("question", "language"),
    [
        ("Quels documents faut-il pour s'inscrire à la bibliothèque ?", "fr"),
        ("Est-il possible de réserver une salle de travail ?", "fr"),
        ("What documents do I need to join the library?", "en"),
        ("La carte de bibliothèque est-elle payante ?", "fr"),
        ("Peut-on renouveler un prêt en ligne ?", "fr"),
        ("Quand ouvre la bibliothèque ?", "fr"),
        ("When is the library open?", "en"),
        ("What about vacation days?", "en"),
        ("Qu'en est-il des jours de congé ?", "fr"),
        ("Which books may not be borrowed?", "en"),
        ("Is there a fee for ordering a book from another branch?", "en"),
    ],
)
def test_a_question_that_stands_alone_stays_as_it_is(question: str, language: Language) -> None:
    assert not leans_on_context(question, language)
    assert standalone(question, ["Something else entirely?"], language) == question


def test_a_chain_of_follow_ups_goes_back_to_what_they_are_about() -> None:
    earlier = ["Unrelated question about gift cards?", "How long may I keep a borrowed novel?", "And a DVD?"]
    assert standalone("And a magazine?", earlier, "en") == (
        "How long may I keep a borrowed novel? And a DVD? And a magazine?"
    )


def test_the_first_question_has_nothing_to_lean_on() -> None:
    assert standalone("And on Sundays?", [], "en") == "And on Sundays?"
