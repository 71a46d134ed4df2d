import json

from hypothesis import given
from hypothesis import strategies as st

from backend.api.sse import frame, merged
from backend.core.events import Delta, Done, LogEvent, Sources, Thinking
from backend.generations.base import Entry, EntryId

pieces = st.one_of(
    st.builds(Delta, st.text(max_size=20)), st.builds(Thinking, st.text(max_size=20)), st.just(Sources(()))
)


def entries(events: list[LogEvent]) -> list[Entry]:
    return [Entry(EntryId(1, n), event) for n, event in enumerate(events, 1)]


@given(st.text())
def test_whatever_the_text_a_frame_is_three_lines_and_a_blank_one(text: str) -> None:
    lines = frame(Delta(text), "1-1").split(b"\n")
    assert [line.partition(b":")[0] for line in lines] == [b"id", b"event", b"data", b"", b""]
    assert b"\r" not in lines[2]
    assert json.loads(lines[2].removeprefix(b"data: "))["text"] == text


@given(st.lists(pieces, max_size=20))
def test_merging_keeps_text_order_and_the_last_id(events: list[LogEvent]) -> None:
    whole, few = entries([*events, Done("stop")]), list(merged(entries([*events, Done("stop")])))
    assert few[-1] == whole[-1]
    for kind in (Delta, Thinking):

        def said(items: list[Entry], kind: type = kind) -> str:
            return "".join(entry.event.text for entry in items if isinstance(entry.event, kind))

        assert said(few) == said(whole)
    ids = [entry.id for entry in few]
    assert ids == sorted(set(ids))
    assert set(ids) <= {entry.id for entry in whole}


def test_neighbours_of_one_channel_become_one_frame() -> None:
    assert [e.event for e in merged(entries([Delta("a"), Delta("b"), Thinking("c"), Delta("d")]))] == [
        Delta("ab"),
        Thinking("c"),
        Delta("d"),
    ]
