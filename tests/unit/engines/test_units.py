import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.engines.units import units

HOURS = "Opening hours\nDay | Opens | Closes\nMonday | 10:00 | 18:00\nSunday |  | "
STEPS = (
    "Renewing a passport\n\nTo renew it:\n\n1. Fill in form 12.\n2. Pay the fee.\n\nIt lasts for ten years."
)


def test_a_list_comes_with_the_line_that_introduces_it():
    text = "Apportez au comptoir :\n- une pièce d'identité ;\n- une photographie récente.\nMerci."
    (one,) = units(text)
    assert one.shown == "Apportez au comptoir :\n- une pièce d'identité ;\n- une photographie récente."


def test_steps_stay_together_below_their_introduction():
    steps, after = units(STEPS)
    assert steps.whole
    assert steps.shown == "To renew it:\n1. Fill in form 12.\n2. Pay the fee."
    assert (after.text, after.above) == ("It lasts for ten years.", "Renewing a passport")


def test_a_list_whose_items_end_with_semicolons_is_no_code():
    (one,) = units(
        "Un éditeur peut :\n\n- publier des données ;\n- répondre aux commentaires ;\n- modifier ;"
    )
    assert (one.kind, len(one.parts)) == ("list", 3)


def test_a_list_without_bullets_is_given_some():
    text = "Le dossier comprend :\nUne copie du bail\nUn plan ( au format A4 )\nLe locataire signe le tout ."
    listed, after = units(text)
    assert listed.shown == "Le dossier comprend :\n- Une copie du bail\n- Un plan (au format A4)"
    assert after.text == "Le locataire signe le tout."


def test_a_table_is_its_header_its_rows_and_what_stands_above():
    (table,) = units(HOURS)
    assert (table.above, table.lead) == ("Opening hours", "Day | Opens | Closes")
    assert table.parts == ("Monday | 10:00 | 18:00", "Sunday |  |")
    assert table.shown.splitlines() == [
        "| Day | Opens | Closes |",
        "|---|---|---|",
        "| Monday | 10:00 | 18:00 |",
        "| Sunday |  |  |",
    ]


CODE = [
    ("Then start it:", "pip install libri\nlibri serve"),
    ("Start it as follows.", "def main():\n    print(1)\n\nmain()"),
    ("La configuration est la suivante :", "server:\n  port: 8000\n  host: localhost"),
    ("Find it like this.", "$ ls -l | grep libri\n$ wc -l | sort"),
    ("Build it like this.", "mkdir build\ncd build\ncmake .. -DUSE_X=ON\nmake"),
    ("Raise the limit.", "# it is small by default\nsudo sysctl -w vm.pages=49152"),
    ("The answer is JSON.", '{\n  "name": "libri",\n  "port": 8000\n}'),
]


@pytest.mark.parametrize(("before", "code"), CODE)
def test_code_is_quoted_whole_with_its_sentence(before, code):
    (one,) = units(f"{before}\n\n{code}")
    assert one.whole
    assert one.shown == f"{before}\n```\n{code}\n```"


def test_a_fence_is_longer_than_any_in_the_code():
    (one,) = units("Write this.\n\n```python\nx = 1\n```")
    assert one.shown.startswith("Write this.\n````\n```python")


FACTS = [
    "Wi-Fi: libri-guest / 12345",
    "Samedi 9 h - 12 h",
    "Phone 01 23 45 67 89",
    "Contact : accueil@exemple.fr",
    "Adult ticket – 5 €",
]


@pytest.mark.parametrize("fact", FACTS)
def test_a_short_fact_is_quoted_as_it_stands(fact):
    alone, among = units(fact), units(f"Practical information\n\n{fact}\n\nThe library is near the station.")
    assert [one.text for one in alone] == [fact]
    assert [one.text for one in among] == [fact, "The library is near the station."]


@pytest.mark.parametrize("heading", ["Heures d'ouverture", "Chapter 3: Loans", "2. Fees", "What it costs"])
def test_a_heading_is_not_quoted(heading):
    (one,) = units(f"{heading}\n\nLa salle ouvre à dix heures.")
    assert (one.text, one.above) == ("La salle ouvre à dix heures.", heading)


def test_a_question_is_quoted_with_its_answer_only():
    lone = units("How long may I keep a book?\n\nThree weeks. You may renew it once.")
    among = units("Many readers ask. Is it free? Yes!")
    assert [one.text for one in lone] == [
        "How long may I keep a book? Three weeks.",
        "You may renew it once.",
    ]
    assert among[-1].text == "Is it free? Yes!"
    assert units("Is it free?") == []


def test_broken_pieces_are_left_out():
    text = "et de douze personnes. La salle ouvre à dix heures.\n- sans suite\nElle ferme à midi."
    assert [one.text for one in units(text)] == ["La salle ouvre à dix heures.", "Elle ferme à midi."]


def test_wrapped_lines_are_put_together():
    text = "This line of a page is long enough to have been wrapped by a\nprinter and goes on here."
    assert [one.text for one in units(text)] == [text.replace("\n", " ")]


@given(st.text(alphabet='Ab éÀ.!?…«»"()\n-:;,1|={ ', max_size=300))
def test_nothing_is_invented(text):
    squeezed = "".join(text.split())
    for one in units(text):
        assert one.parts
        assert "\n" not in one.text
        assert set("".join(one.text.split())) <= {*squeezed, ";"}
