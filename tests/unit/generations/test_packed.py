"""Entries in one buffer are the entries that were put there."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from backend.core.events import Delta, LogEvent, Origin, Sources, Thinking
from backend.generations.codec import encode
from backend.generations.packed import BYTES_PER_ENTRY, PackedEvents

events_ = st.lists(
    st.one_of(
        st.builds(Delta, st.text(max_size=5)),
        st.builds(Thinking, st.text(max_size=5)),
        st.sampled_from([Sources(()), Origin("miss", "m", "v")]),
    ),
    max_size=20,
)


def packed(events: list[LogEvent]) -> PackedEvents:
    whole = PackedEvents()
    for event in events:
        whole.append(event.name, encode(event))
    return whole


def said(events: list[LogEvent], kind: type[Delta | Thinking]) -> str:
    return "".join(event.text for event in events if isinstance(event, kind))


@given(events_, st.booleans())
def test_each_comes_out_as_it_was(events: list[LogEvent], trimmed: bool) -> None:
    whole = packed(events)
    if trimmed:
        whole.trim()
    assert [whole.event(number) for number in range(len(whole))] == events
    assert whole.size_bytes == sum(len(encode(event)) + BYTES_PER_ENTRY for event in events)


@given(events_, st.data())
def test_merging_keeps_text_order_and_the_number_of_the_last(events: list[LogEvent], data) -> None:
    until = data.draw(st.integers(0, len(events)))
    start = data.draw(st.integers(0, until))
    merged = packed(events).merged(start, until)
    part = events[start:until]
    few = [event for _, event in merged]
    for kind in (Delta, Thinking):
        assert said(few, kind) == said(part, kind)
    assert [e for e in few if not isinstance(e, Delta | Thinking)] == [
        e for e in part if not isinstance(e, Delta | Thinking)
    ]
    assert [number for number, _ in merged] == sorted({number for number, _ in merged})
    assert [number for number, _ in merged][-1:] == ([until - 1] if part else [])
    for one, other in pairwise(few):
        assert type(one) is not type(other) or not isinstance(one, Delta | Thinking)
