"""What a log keeps as bytes comes back as it was."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.events import LogEvent
from backend.generations.base import RequestRecord
from backend.generations.codec import decode, decode_record, encode, encode_record

finite = st.floats(allow_nan=False, allow_infinity=False)
numbers = st.integers(-(2**53), 2**53)
st.register_type_strategy(float, finite)
st.register_type_strategy(int, numbers)
EVENTS = get_args(LogEvent)


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.name)
def test_an_event_survives_the_trip_through_bytes(kind: type[LogEvent]) -> None:
    @given(st.from_type(kind))
    def survives(event: LogEvent) -> None:
        assert decode(event.name, encode(event)) == event

    survives()


@given(st.from_type(RequestRecord))
def test_a_record_survives_the_trip_through_bytes(record: RequestRecord) -> None:
    assert decode_record(encode_record(record)) == record


@given(st.from_type(RequestRecord))
def test_the_bytes_of_a_record_are_the_same_each_time(record: RequestRecord) -> None:
    assert encode_record(decode_record(encode_record(record))) == encode_record(record)


def test_every_event_has_a_name_of_its_own() -> None:
    assert len({kind.name for kind in EVENTS}) == len(EVENTS)


@pytest.mark.parametrize(
    ("name", "data"), [("nonsense", b"{}"), ("done", b"{}"), ("done", b"["), ("sources", b"1"), ("", b"")]
)
def test_bytes_of_no_event_are_refused(name: str, data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(name, data)


def test_bytes_of_no_record_are_refused() -> None:
    with pytest.raises(ValueError, match="validation"):
        decode_record(b"{}")


def test_what_an_older_version_wrote_lacks_fields_that_have_defaults() -> None:
    assert decode("done", b'{"finish_reason":"stop"}').citations == ()  # type: ignore[union-attr]
