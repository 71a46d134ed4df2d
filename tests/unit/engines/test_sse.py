from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.errors import EngineError
from backend.engines.sse import EventParser

LINES = st.sampled_from(
    ["data: a", "data:é…€😀", "data", "data:  b", "data:", ": ping", "id: 3", "event: x", "retry: 9", "", ""]
)
STREAMS = st.lists(st.tuples(LINES, st.sampled_from(["\n", "\r\n", "\r"])), max_size=20)


def parsed(*chunks, **options):
    parser = EventParser(**options)
    return [event for chunk in chunks for event in parser.feed(chunk)]


def reference(lines):
    events, data = [], []
    for line in lines:
        name, _, value = line.partition(":")
        if not line and data:
            events.append("\n".join(data).encode())
            data = []
        elif name == "data":
            data.append(value.removeprefix(" "))
    return events


def by_line(stream):
    """What an unhurried reader sees: a CR and an LF written one after the other are one line end."""
    return (
        []
        if not stream
        else "".join(a + b for a, b in stream).replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]
    )


@given(STREAMS, st.lists(st.integers(0, 400), max_size=12))
def test_however_the_bytes_are_split_the_events_are_the_same(stream, cuts):
    data = "".join(a + b for a, b in stream).encode()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    assert parsed(*(data[a:b] for a, b in pairwise(edges))) == reference(by_line(stream))


@given(STREAMS)
def test_byte_by_byte_too(stream):
    data = "".join(a + b for a, b in stream).encode()
    assert parsed(*(data[i : i + 1] for i in range(len(data)))) == reference(by_line(stream))


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_any_bytes_give_events_or_an_engine_error(chunks):
    with suppress(EngineError):
        parsed(*chunks, max_bytes=64)


def test_a_byte_order_mark_is_read_over():
    assert parsed(b"\xef\xbb\xbfdata: a\n\n") == [b"a"]


def test_an_event_that_is_not_closed_is_dropped():
    assert parsed(b"data: a\n\ndata: b\n") == [b"a"]


def test_comments_give_nothing():
    assert parsed(b": ping\n\n:\n\n") == []


@pytest.mark.parametrize("data", [b"data: " + b"x" * 200, b"data: xxxxx\n" * 40, b"x" * 101])
def test_what_is_too_long_is_refused(data):
    with pytest.raises(EngineError):
        parsed(data, max_bytes=100)


def test_a_line_that_is_no_field_is_refused():
    with pytest.raises(EngineError):
        parsed(b"<html>\n")
