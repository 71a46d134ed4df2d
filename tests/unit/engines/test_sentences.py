import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.engines.sentences import sentences

WHOLE = [
    ["M. Dupont est arrivé à 14 h 30.", "Il a payé 12.5 € (cf. art. 3) à J. K. Rowling."],
    ["« Bonjour ! Comment ça va ? » dit-il.", "Puis il partit… sans un mot."],
    ["La S.N.C.F. a été créée en 1938.", "Elle gère 30.000 km de voies."],
    ["Il vécut jusqu'en 12 av. J.-C. à Rome.", "Mme. Curie eut deux prix Nobel."],
    ["Dr. Smith left the U.S. Army on Jan. 5.", "He was paid $3.50 (see p. 12)."],
    ['"Really and truly?" she asked.', "It is 5 p.m. now."],
    ["Le tarif est de 5 € (tarif réduit. Voir plus bas) par jour.", "Il change en mai."],
]


@pytest.mark.parametrize("expected", WHOLE)
def test_sentences_are_cut_where_a_reader_would(expected):
    assert sentences(" ".join(expected)) == expected


def test_headings_and_lone_items_are_left_out():
    text = "Heures d'ouverture\n\nLa salle ouvre à dix heures.\n- sans suite\nElle ferme à midi."
    assert sentences(text) == ["La salle ouvre à dix heures.", "Elle ferme à midi."]


def test_a_list_comes_with_the_line_that_introduces_it():
    text = "Apportez au comptoir :\n- une pièce d'identité ;\n- une photographie récente.\nMerci."
    assert sentences(text) == ["Apportez au comptoir : une pièce d'identité ; une photographie récente."]


def test_a_list_without_punctuation_is_given_some():
    text = "Le dossier comprend :\nUne copie du bail\nUn plan ( au format A4 )\nLe locataire signe le tout ."
    assert sentences(text) == [
        "Le dossier comprend : Une copie du bail ; Un plan (au format A4).",
        "Le locataire signe le tout.",
    ]


def test_wrapped_lines_are_put_together():
    text = "This line of a page is long enough to have been wrapped by a\nprinter and goes on here."
    assert sentences(text) == [text.replace("\n", " ")]


@given(st.text(alphabet='Ab éÀ.!?…«»"()\n-:;,1 ', max_size=300))
def test_nothing_is_invented_and_every_sentence_is_on_one_line(text):
    squeezed = "".join(text.split())
    for one in sentences(text):
        assert "\n" not in one
        assert one.rstrip(' »")')[-1] in ".!?…"
        assert set("".join(one.split())) <= {*squeezed, ";", "."}
