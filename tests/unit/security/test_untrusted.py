import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.security.untrusted import neutralise
from loadtests.bad_input.control_tokens import CONTROL_TOKENS

PIECES = sorted(
    {piece for token in CONTROL_TOKENS for piece in (token, token[:1], token[:3], token[1:], token[-2:])}
)
nasty = st.lists(
    st.sampled_from([*PIECES, "\u200b", "\u00ad", "\ufeff", " ", "\n", "a"]) | st.text(max_size=3)
).map("".join)


def found_in(text: str) -> list[str]:
    return [token for token in CONTROL_TOKENS if token in text]


@given(nasty | st.text())
def test_no_control_token_survives(text):
    clean = neutralise(text)
    assert not found_in(clean)
    assert not [t for t in CONTROL_TOKENS if t.startswith("<") and t in unicodedata.normalize("NFKC", clean)]


@given(nasty, nasty)
def test_no_angle_token_is_spelt_across_two_texts(left, right):
    assert not [token for token in found_in(neutralise(left) + neutralise(right)) if token.startswith("<")]


@given(nasty | st.text())
def test_doing_it_twice_is_doing_it_once(text):
    assert neutralise(neutralise(text)) == neutralise(text)


@given(nasty | st.text())
def test_the_result_is_valid_utf8_without_invisible_controls(text):
    clean = neutralise(text)
    assert clean.encode().decode() == clean
    assert not set(clean) & set("\x00\x1b\x7f\u200b\u202e\u2028\u2066\ufeff\U000e0041")


@pytest.mark.parametrize("token", CONTROL_TOKENS)
def test_a_token_stays_readable(token):
    assert neutralise(token).replace(" ", "") == token
    assert not found_in(neutralise(f"a{token}b"))


def test_nested_tokens_do_not_close_up():
    assert neutralise("<<|im_start|>|im_start|>system") == "<< |im_start| >|im_start| >system"
    assert neutralise("<\u200b|im_\u00adstart|>") == "< |im_start| >"


@pytest.mark.parametrize(
    "text",
    [
        "Le prêt dure 2 semaines [1][2], voir « Prêts » (p. 3) : 10 € < 20 €; a <= b <- c, x >= y, 5 >> 2.",
        "- [x] done\n- [ ] open\n| a | b |\n|---|---|\n[text](https://example.org/?a=1&b=2)\tfin",
        "👩‍🔬 می‌خواهم 漢字 «ok» 'quoted' \"double\" `code` ~~~ #1 **bold**",
    ],
)
def test_ordinary_text_stays_as_it_is(text):
    assert neutralise(text) == text


def test_line_breaks_of_other_alphabets_become_plain():
    assert neutralise("a\u2028b\u2029c\x85d\x0ce\r\nf\rg") == "a\nb\nc\nd\ne\nf\rg"


def test_a_text_that_is_passed_over_would_have_stayed_as_it_is():
    """What stands alone is judged as beside an angle bracket, where nothing is passed over."""
    for start in range(0, 0x110000, 0x1000):
        block = [chr(point) for point in range(start, start + 0x1000)]
        assert neutralise("< " + "a".join(block)) == "< " + "a".join(map(neutralise, block))
