import asyncio
from shutil import rmtree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.corpus.base import CorpusRef, LiveView
from backend.retrieval.lexical_tantivy import TantivyIndex
from tests.support.shelf import LIBRARY, passage


@pytest.fixture(params=["memory", "disk"])
def index(request, tmp_path):
    made = TantivyIndex(None if request.param == "memory" else tmp_path / "lexical")
    yield made
    made.close()


async def found(index, question, language="fr", corpus=LIBRARY):
    return [hit.passage.text for hit in await index.search(corpus, question, language, 10)]


async def test_a_passage_comes_back_whole(index):
    one = passage(
        "Le prêt\n dure « 3 » semaines 🤖", title="Règles", headings=("A",), page=3, lead="Carte | Durée"
    )
    await index.add(LIBRARY, [one])
    assert [hit.passage for hit in await index.search(LIBRARY, "prêt", "fr", 5)] == [one]


async def test_the_best_comes_first(index):
    await index.add(LIBRARY, [passage("prêt livre"), passage("prêt livre retard"), passage("autre chose")])
    hits = await index.search(LIBRARY, "retard du prêt", "fr", 10)
    assert [hit.passage.text for hit in hits] == ["prêt livre retard", "prêt livre"]
    assert hits[0].score > hits[1].score > 0


async def test_the_names_of_columns_above_a_row_are_found(index):
    await index.add(LIBRARY, [passage("Étudiant | 12", lead="Carte | Tarif annuel")])
    assert await found(index, "tarif annuel") == ["Étudiant | 12"]


async def test_no_more_than_the_limit(index):
    await index.add(LIBRARY, [passage(f"prêt {i}") for i in range(5)])
    assert len(await index.search(LIBRARY, "prêt", "fr", 2)) == 2
    assert len(await index.search(LIBRARY, "prêt", "fr", 0)) == 0


@pytest.mark.parametrize(
    ("question", "text", "language"),
    [
        ("bibliothèques", "La bibliothèque ferme", "fr"),
        ("BIBLIOTHEQUE", "La bibliothèque ferme", "fr"),
        ("l’inscription", "S'inscrire : une inscription", "fr"),
        ("d'inscription", "L’inscription est gratuite", "fr"),
        ("qu'une œuvre ?", "Une oeuvre", "fr"),
        ("renouveler", "Vous renouvelez le livre", "fr"),
        ("renewals", "Loans can be renewed: one renewal", "en"),
        ("library's hours", "Hours of the library", "en"),
    ],
)
async def test_words_meet_across_accents_elisions_and_inflection(index, question, text, language):
    await index.add(LIBRARY, [passage(text, language=language)])
    assert await found(index, question, language) == [text]


async def test_stop_words_alone_find_nothing(index):
    await index.add(
        LIBRARY, [passage("Quel est le prêt de la ville ?"), passage("What is it", language="en")]
    )
    assert await found(index, "quel est le de la ?") == []
    assert await found(index, "what is the", "en") == []


async def test_title_and_headings_are_searched(index):
    one = passage("Trois semaines.", title="Durée du prêt", headings=("Retards",))
    await index.add(LIBRARY, [one, passage("Autre")])
    assert await found(index, "prêt") == ["Trois semaines."]
    assert await found(index, "retard") == ["Trois semaines."]


async def test_a_question_in_the_other_language_still_finds_names(index):
    await index.add(LIBRARY, [passage("Le RGPD protège les données.")])
    assert await found(index, "What is the RGPD?", "en") == ["Le RGPD protège les données."]


async def test_the_same_id_replaces(index):
    await index.add(LIBRARY, [passage("ancien texte", id="p")])
    await index.add(LIBRARY, [passage("nouveau texte", id="p")])
    await index.add(LIBRARY, [passage("troisième texte", id="p"), passage("dernier texte", id="p")])
    assert await found(index, "texte") == ["dernier texte"]
    assert await index.count(LIBRARY) == 1


async def test_a_removed_revision_is_gone_and_others_stay(index):
    await index.add(LIBRARY, [passage("prêt un", revision="r1"), passage("prêt deux", revision="r2")])
    await index.remove(LIBRARY, ["r1", "never-seen"])
    assert await found(index, "prêt") == ["prêt deux"]
    assert await index.count(LIBRARY) == 1


async def test_any_number_of_revisions_is_removed_at_once(index):
    await index.add(LIBRARY, [passage("prêt un", revision="r1"), passage("prêt deux", revision="r2")])
    await index.remove(LIBRARY, ["r1", *(f"gone-{n}" for n in range(70_000))])
    assert await found(index, "prêt") == ["prêt deux"]


async def test_it_says_which_version_it_was_last_said_to_hold(index):
    assert await index.held(LIBRARY) == ""
    await index.add(LIBRARY, [passage("a")])
    assert await index.held(LIBRARY) == ""
    await index.hold(LIBRARY, "v1")
    await index.hold(LIBRARY, "v2")
    assert await index.held(LIBRARY) == "v2"
    assert await index.held(CorpusRef("city", "archive")) == ""
    assert await index.count(LIBRARY) == 1


async def test_it_covers_what_it_holds(index):
    assert not await index.covers(LIBRARY, LiveView("v1", frozenset({"r1"})))
    await index.add(LIBRARY, [passage("a", revision="r1"), passage("b", revision="r2")])
    assert await index.covers(LIBRARY, LiveView("v1", frozenset({"r1"})))
    assert not await index.covers(LIBRARY, LiveView("v2", frozenset({"r1", "r3"})))
    await index.remove(LIBRARY, ["r1"])
    assert not await index.covers(LIBRARY, LiveView("v1", frozenset({"r1"})))
    assert await index.covers(LIBRARY, LiveView("v3", frozenset({"r2"})))


async def test_it_counts_the_passages_of_revisions(index):
    assert not any((await index.counts(LIBRARY, ["r1"])).values())
    await index.add(
        LIBRARY,
        [
            passage("a", revision="r1"),
            passage("b", revision="r1"),
            passage("c", revision="r2"),
            passage("d", revision="r3"),
        ],
    )
    await index.remove(LIBRARY, ["r3"])
    counts = await index.counts(LIBRARY, ["r1", "r3", *(f"gone-{n}" for n in range(500))])
    assert (counts.get("r1", 0), counts.get("r3", 0), counts.get("gone-1", 0)) == (2, 0, 0)


async def test_all_but_some_revisions_are_removed(index):
    await index.keep_only(LIBRARY, {"r1"})
    await index.add(
        LIBRARY,
        [
            passage("a", revision="r1"),
            passage("b", revision="r1"),
            passage("c", revision="r2"),
            passage("d", revision="r3"),
        ],
    )
    await index.keep_only(LIBRARY, {"r1", "never-seen"})
    assert await index.count(LIBRARY) == 2


async def test_the_passages_of_a_revision_come_back_whole(index):
    assert list(await index.passages(LIBRARY, "r1")) == []
    some = [passage(f"prêt {n}", revision="r1", headings=("A",), page=n) for n in range(3)]
    await index.add(LIBRARY, [*some, passage("autre", revision="r2")])
    assert sorted(await index.passages(LIBRARY, "r1"), key=lambda p: p.text) == some
    assert list(await index.passages(LIBRARY, "never-seen")) == []


async def test_tenants_and_corpora_do_not_share(index):
    await index.add(LIBRARY, [passage("prêt")])
    for other in (
        CorpusRef("village", "library"),
        CorpusRef("city", "archive"),
        CorpusRef("citylibrary", ""),
    ):
        assert await found(index, "prêt", corpus=other) == []
        assert await index.count(other) == 0


async def test_a_corpus_that_never_was_is_empty(index):
    nowhere = CorpusRef("nobody", "nothing")
    await index.remove(nowhere, ["r1"])
    await index.add(nowhere, [])
    assert await index.count(nowhere) == 0


@pytest.mark.parametrize(
    "question",
    ["", "?", 'title:("', "a AND OR NOT", "id:*", "[a TO b", "\\", "text_fr:x^9", "\x00\ud800", "x" * 70_000],
)
async def test_any_typed_text_is_a_question(index, question):
    await index.add(LIBRARY, [passage("prêt")])
    await index.search(LIBRARY, question, "fr", 5)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(question=st.text(max_size=200))
async def test_no_text_is_an_error(index, question):
    await index.add(LIBRARY, [passage("prêt", id="only")])
    await index.search(LIBRARY, question, "fr", 5)


async def test_writers_and_readers_at_once_lose_nothing(index):
    async with asyncio.TaskGroup() as group:
        for i in range(6):
            group.create_task(index.add(LIBRARY, [passage(f"prêt {i} {j}") for j in range(5)]))
            group.create_task(index.search(LIBRARY, "prêt", "fr", 3))
    assert await index.count(LIBRARY) == 30


async def test_an_index_whose_files_are_lost_is_empty_and_takes_new_passages(tmp_path):
    index = TantivyIndex(tmp_path / "lexical")
    await index.add(LIBRARY, [passage("prêt un")])
    await index.hold(LIBRARY, "v1")
    rmtree(tmp_path / "lexical")
    assert await found(index, "prêt") == []
    assert (await index.count(LIBRARY), await index.held(LIBRARY)) == (0, "")
    await index.add(LIBRARY, [passage("prêt deux")])
    assert await found(index, "prêt") == ["prêt deux"]
    for file in (tmp_path / "lexical").glob("*/*"):
        file.unlink()
    assert await found(index, "prêt") == []
    await index.add(LIBRARY, [passage("prêt trois")])
    assert await found(index, "prêt") == ["prêt trois"]
    index.close()


async def test_another_process_sees_what_was_acknowledged(tmp_path):
    first, second = TantivyIndex(tmp_path), TantivyIndex(tmp_path)
    await first.add(LIBRARY, [passage("prêt un")])
    assert await found(second, "prêt") == ["prêt un"]
    await first.add(LIBRARY, [passage("prêt deux")])
    assert sorted(await found(second, "prêt")) == ["prêt deux", "prêt un"]
    await second.add(LIBRARY, [passage("prêt trois")])
    assert await first.count(LIBRARY) == 3
    await first.hold(LIBRARY, "v1")
    assert await second.held(LIBRARY) == "v1"
    first.close()
    second.close()


@pytest.mark.parametrize(
    ("question", "text", "language"),
    [
        ("how does the sabatical work", "A sabbatical lasts thirty days.", "en"),
        ("pseudonimisation", "La pseudonymisation des décisions.", "fr"),
        ("moonlihgting", "Moonlighting is another job.", "en"),
        ("boeuf", "Le bœuf se mange chaud.", "fr"),
        ("WiFi?", "The Wi-Fi is free.", "en"),
        ("Wi-Fi?", "The wifi is free.", "en"),
        ("Who do I call at IT?", "The IT helpdesk answers until six.", "en"),
        ("Urlaubstage", "Jeder hat dreißig Urlaubstage im Jahr.", "de"),
        ("vacaciones", "Cada empleado tiene días de vacaciones.", "es"),
    ],
)
async def test_words_are_found_as_people_type_them(index, question, text, language):
    await index.add(LIBRARY, [passage(text, language=language), passage("Something else", language="en")])
    assert (await found(index, question, language))[:1] == [text]


async def test_a_word_that_is_known_is_not_taken_for_another(index):
    await index.add(LIBRARY, [passage("The borders", language="en"), passage("The orders", language="en")])
    assert await found(index, "borders", "en") == ["The borders"]


async def test_it_is_a_name_in_capitals_and_a_stop_word_otherwise(index):
    await index.add(
        LIBRARY, [passage("The IT policies", language="en"), passage("It is late", language="en")]
    )
    assert await found(index, "who is at IT?", "en") == ["The IT policies"]
    assert await found(index, "what is it", "en") == []
    assert await found(index, "WHAT IS IT ABOUT", "en") == []


async def test_filler_that_no_passage_holds_weighs_less_than_what_is_asked(index):
    some = [passage(f"Rule {i}: nothing of note", language="en") for i in range(20)]
    await index.add(LIBRARY, [passage("Sabbaticals follow the rules of leave.", language="en"), *some])
    question = "What are the rules concerning sabbaticals around here nowadays?"
    best = (await index.search(LIBRARY, question, "en", 5))[0]
    assert best.covers > 0.4


async def test_a_question_in_a_language_of_no_document_is_asked_in_theirs(index):
    await index.add(LIBRARY, [passage("Installation of the server", language="en")])
    assert await found(index, "Comment faire une installation ?", "fr") == ["Installation of the server"]
