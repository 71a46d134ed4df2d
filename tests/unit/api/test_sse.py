import json
from collections.abc import AsyncGenerator, Sequence

from hypothesis import given
from hypothesis import strategies as st

from backend.api.sse import HEARTBEAT, frame, frames
from backend.core.events import Delta, Done, Started
from backend.generations.base import START, Entry, EntryId


@given(st.text())
def test_whatever_the_text_a_frame_is_three_lines_and_a_blank_one(text: str) -> None:
    lines = frame(Delta(text), "1-1").split(b"\n")
    assert [line.partition(b":")[0] for line in lines] == [b"id", b"event", b"data", b"", b""]
    assert b"\r" not in lines[2]
    assert json.loads(lines[2].removeprefix(b"data: "))["text"] == text


async def test_the_delay_before_reconnecting_is_in_the_first_event_and_heartbeats_have_none() -> None:
    started = Entry(START, Started("r", "c", "m", "v", "miss"))

    async def batches() -> AsyncGenerator[Sequence[Entry], None]:
        for batch in ([], [started], [], [Entry(EntryId(1, 2), Delta("a"))], [Entry(START, Done("stopped"))]):
            yield batch

    bodies = [body async for body in frames(batches())]
    assert bodies[1].startswith(b"retry: 1000\nevent: started\ndata: ")
    assert bodies[0] == bodies[2] == HEARTBEAT
    assert bodies[3].startswith(b"id: 1-2\nevent: delta\n")
    assert bodies[4].startswith(b"event: done\n"), "an event of the run alone has no id to resume after"
