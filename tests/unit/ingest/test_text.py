import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.errors import UnreadableDocument
from backend.ingest.parse.text import clean, decode, tidy


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_a_french_text_is_decoded_in_every_usual_encoding(encoding):
    assert decode("Œuvre achevée à l’été : 3 €".encode(encoding)) == "Œuvre achevée à l’été : 3 €"


@pytest.mark.parametrize("data", [b"a\x00b", bytes(range(1, 256)) * 10, b"\x81\x8d\x8f" * 50])
def test_binary_data_is_not_text(data):
    with pytest.raises(UnreadableDocument, match="not text"):
        decode(data)


def test_what_nobody_sees_is_removed():
    hidden = "i\u200bg\u200cn\u200do\u2060r\ufeffe\u202e \u2066m\u00ade\x07\U000e0041\ufe0f\ue000"
    assert clean(hidden) == "ignore me"


def test_spaces_hyphens_and_newlines_become_plain():
    assert clean("10\u00a0000\u202f€\r\nsous\u2011titre\rfin\u2028x") == "10 000 €\nsous-titre\nfin\nx"


@given(st.text())
def test_cleaning_twice_changes_nothing_more(text):
    assert clean(clean(text)) == clean(text)


@given(st.text(alphabet=st.sampled_from("ab \t\n")))
def test_a_tidy_text_has_no_stray_blanks(text):
    tidied = tidy(text)
    assert "  " not in tidied
    assert "\n\n" not in tidied
    assert tidied == tidied.strip()
