"""Bodies as Go reads them: what is taken, and Go's own words for what is not."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollama_emulator.gojson import GoError, Shape, checked, decode
from ollama_emulator.requests import CHAT

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


@given(VALUES, st.sampled_from([b"", b" ", b"\n{}", b" x", b'"', b"]"]))
def test_the_first_value_is_read_whatever_follows(value, tail):
    end = b" " if isinstance(value, (int, float)) and not isinstance(value, bool) else b""
    assert decode(json.dumps(value).encode() + end + tail) == value


@given(st.binary(max_size=40))
def test_whatever_is_sent_is_a_value_or_an_error_of_go(raw):
    said = ""
    try:
        decode(raw)
    except GoError as exc:
        said = str(exc)
    assert said in ("", "unexpected EOF") or said.startswith("invalid character ")


@given(VALUES, st.data())
def test_a_value_that_is_cut_is_an_unexpected_end(value, data):
    raw = json.dumps([value]).encode()
    cut = raw[: data.draw(st.integers(1, len(raw) - 1))]
    with pytest.raises(GoError, match=r"^unexpected EOF$"):
        decode(cut)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"x", "invalid character 'x' looking for beginning of value"),
        (b"[1,]", "invalid character ']' looking for beginning of value"),
        (b"[1 2]", "invalid character '2' after array element"),
        (b"{x", "invalid character 'x' looking for beginning of object key string"),
        (b'{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b'{"a":1 "b"', "invalid character '\"' after object key:value pair"),
        (b"{'a'", "invalid character '\\'' looking for beginning of object key string"),
        (b'"a\nb"', "invalid character '\\n' in string literal"),
        (b'"\\x"', "invalid character 'x' in string escape code"),
        (b'"\\u12g4"', "invalid character 'g' in \\u hexadecimal character escape"),
        (b"trap", "invalid character 'a' in literal true (expecting 'u')"),
        (b"nil", "invalid character 'i' in literal null (expecting 'u')"),
        (b"-x", "invalid character 'x' in numeric literal"),
        (b"1.x", "invalid character 'x' after decimal point in numeric literal"),
        (b"1e,", "invalid character ',' in exponent of numeric literal"),
        (b"\xef\xbb\xbf{}", "invalid character '\u00ef' looking for beginning of value"),
        (b"NaN", "invalid character 'N' looking for beginning of value"),
        (b"[" * 20_000, "invalid character '[' exceeded max depth"),
    ],
)
def test_the_words_of_go_for_what_is_no_json(raw, message):
    with pytest.raises(GoError) as caught:
        decode(raw)
    assert str(caught.value) == message


def test_what_is_no_character_becomes_the_sign_for_it():
    assert decode(b'"a\xffb\\ud800c"') == "a\ufffdb\ufffdc"
    assert decode(b'"\\ud83d\\ude00" x') == "\U0001f600"


def test_null_changes_nothing_and_what_is_unknown_is_kept():
    body = {"messages": None, "stream": None, "warp": [1]}
    assert checked(body, CHAT) == body
    assert checked(None, CHAT) is None


def test_an_integer_is_no_fraction():
    shape = Shape("api.X", "object", {"n": Shape("int", "number", whole=True)})
    with pytest.raises(GoError) as caught:
        checked({"n": 1.5}, shape)
    assert str(caught.value) == "json: cannot unmarshal number 1.5 into Go struct field X.n of type int"
