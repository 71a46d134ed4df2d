import json
from contextlib import suppress
from typing import Annotated

import pytest
from fastapi.exceptions import RequestValidationError
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from backend.api.strict import Body, Id, ModelName, QuestionText, parse
from backend.core.errors import InvalidRequest


class Ask(Body):
    question: QuestionText
    id: Id | None = None
    name: ModelName | None = None
    n: Annotated[int, Field(ge=1)] | None = None
    x: float | None = None
    flag: bool | None = None


@pytest.mark.parametrize(
    "body",
    [
        *(
            b"",
            b" ",
            b"{",
            b"{}{}",
            b"nul",
            b"'a'",
            b"{'a':1}",
            b"[1,]",
            b"\xff",
            b'"\xc0\xaf"',
            b'"\xed\xa0\x80"',
        ),
        *(
            b"\xef\xbb\xbf{}",
            '{"a":1}'.encode("utf-16"),
            '{"a":1}'.encode("utf-16-le"),
            '{"a":1}'.encode("utf-32"),
        ),
        *(
            b"[" * 100_000,
            b'{"a":' * 50_000,
            b"[" * 1025 + b"]" * 1025,
            b"1" * 5000,
            b'"\x00"',
            b'"a\nb"',
            b"01",
            b"+1",
        ),
    ],
)
def test_what_is_not_json_in_utf8_is_malformed(body):
    with pytest.raises(InvalidRequest):
        parse(body)


@pytest.mark.parametrize(
    "body",
    [
        *(b"NaN", b"[Infinity]", b'{"a": -Infinity}', b"1e999", b"-1e999", rb'"\ud800"', rb'{"\udfff": 1}'),
        *(rb'"a\u0000b"', rb'{"a\u0000": 1}', rb'[[{"a": ["\u0000"]}]]'),
    ],
)
def test_values_that_no_one_can_store_are_refused(body):
    with pytest.raises(RequestValidationError):
        parse(body)


def test_an_escaped_backslash_before_u0000_is_plain_text():
    assert parse(rb'"\\u0000"') == "\\u0000"


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**53), 2**53)
        | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")),
        lambda c: (
            st.lists(c) | st.dictionaries(st.text(st.characters(codec="ascii", exclude_characters="\x00")), c)
        ),
        max_leaves=10,
    )
)
def test_ordinary_json_is_read_as_it_is(value):
    assert parse(json.dumps(value).encode()) == value


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_refused(body):
    with suppress(InvalidRequest, RequestValidationError):
        parse(body)


@pytest.mark.parametrize(
    "fields",
    [
        *(
            {"n": "3"},
            {"n": True},
            {"n": 1.5},
            {"n": 1.0},
            {"n": 0},
            {"x": "1"},
            {"x": True},
            {"flag": 1},
            {"flag": "yes"},
        ),
        *(
            {"unknown": 1},
            {"id": "../x"},
            {"id": ""},
            {"id": "a" * 65},
            {"id": "a\n"},
            {"name": "a\nb"},
            {"name": "a\u202e"},
        ),
        *({"question": q} for q in ("", "  \n\t", "\u200b\u2060\ufeff", "\u2028", None, 3, ["a"], {"a": 1})),
    ],
)
def test_a_value_that_does_not_fit_is_refused(fields):
    with pytest.raises(ValidationError):
        Ask.model_validate({"question": "Why?"} | fields)


def test_what_fits_is_taken():
    ask = Ask.model_validate(
        {"question": " Où ? ", "id": "a-B_9", "name": "hf.co/org/m:Q4_K_M", "n": 3, "x": 1}
    )
    assert (ask.question, ask.n, ask.x) == (" Où ? ", 3, 1.0)
