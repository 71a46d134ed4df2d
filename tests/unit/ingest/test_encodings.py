import pytest

from backend.ingest.parse.text import BAD, decode
from loadtests.reading.part_encodings import cases

UNKNOWN = {"latin-9"}
"""A few bytes of it are as good Windows-1252, but for the euro."""


@pytest.mark.parametrize("case", sorted(set(cases()) - UNKNOWN))
def test_a_text_is_decoded_in_whatever_encoding_it_comes(case):
    data, text = cases()[case]
    assert decode(data) == text


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_text_that_is_cut_anywhere_stays_utf_8(cut):
    assert "é" * 20 in decode(("é" * 40 + "fin").encode()[:-cut])


def test_a_bad_byte_in_a_long_text_is_one_bad_character():
    data = "Œuvre achevée à l’été. ".encode() * 20
    assert decode(data[:200] + b"\xff" + data[200:]).count(BAD) in (1, 2)
