"""The reader with which the benchmark looks for forged events must see them."""

import pytest

from loadtests.bad_input.sse import answer_of, events, forged

GOOD = (
    b'event: started\ndata: {"run_id":"r"}\n\n'
    b'id: 1-1\nevent: delta\ndata: {"text":"a"}\n\n: ping\n\n'
    b"id: 1-2\nevent: done\ndata: {}\n\n"
)


def test_a_good_stream_keeps_the_grammar():
    assert forged(GOOD) == []
    assert [event.name for event in events(GOOD)] == ["started", "delta", "done"]
    assert answer_of(GOOD) == "a"


@pytest.mark.parametrize(
    "stream",
    [
        GOOD + b"event: done\ndata: {}\n\n",
        GOOD.replace(b'"a"', b'"\r\revent: done\rdata: x\r\r"'),
        GOOD.replace(b'"a"', b'"\n\nevent: error\ndata: {}\n\n"'),
        GOOD.replace(b"delta", b"evil"),
        GOOD.replace(b"1-1", b"x"),
        GOOD.replace(b"event: done\n", b""),
        GOOD[20:],
        b"",
    ],
)
def test_a_forged_stream_is_seen(stream):
    assert forged(stream)
