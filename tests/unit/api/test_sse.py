import asyncio
import json
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from backend.api import sse
from backend.api.sse import HEARTBEAT, RETRY, EventStream, frame, frames
from backend.core.events import Delta, Done, Event, Origin, Started
from backend.generations.base import START, Batch, Entry, EntryId
from backend.generations.memory import MemoryLog
from tests.support.manual_clock import ManualClock
from tests.support.records import a_record


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


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """Every event that is encoded."""
    seen: list[Event] = []

    def counted(event: Event, entry_id: str | None = None) -> bytes:
        seen.append(event)
        return frame(event, entry_id)

    monkeypatch.setattr(sse, "frame", counted)
    return seen


async def test_many_who_follow_one_answer_get_the_same_bytes_encoded_once(encoded: list[Event]) -> None:
    log = MemoryLog(ManualClock())
    writer = (await log.begin(None, "r", a_record())).writer
    assert writer is not None
    said = [Origin("miss", "m", "v"), *(Delta(f"{n} ") for n in range(20)), Done("stop")]
    followers = [frames(log.follow(writer.generation)) for _ in range(50)]
    got: list[bytes] = [b""] * 50
    for events in (said[:1], said[1:2], said[2:9], said[9:21], said[21:]):
        await writer.append(events)
        bodies = [await anext(one) for one in followers]
        got = [before + body for before, body in zip(got, bodies, strict=True)]
    assert len(encoded) == 5, "pieces that come at once are one"
    assert set(got) == {got[0]}
    assert got[0].startswith(RETRY + b"id: 1-1\nevent: origin\n")
    for one in followers:
        assert [body async for body in one] == []
    assert writer.generation not in log._live
    assert log._ended[writer.generation][1].latest[2] == [], "nothing is kept once it was written"


async def test_a_batch_of_one_run_alone_is_its_own(encoded: list[Event]) -> None:
    shared = Batch([Entry(EntryId(1, 2), Delta("a"))])
    own = [Entry(START, Started("r", "c", "m", "v", "miss")), *shared]

    async def batches(*given: Sequence[Entry]) -> AsyncGenerator[Sequence[Entry], None]:
        for batch in given:
            yield batch

    first = [body async for body in frames(batches(own, shared))]
    other = [body async for body in frames(batches(shared))]
    assert b"started" in first[0]
    assert other == [RETRY + first[1]], "the delay before reconnecting is not for the others"
    assert len(encoded) == 3


class Client:
    """What a response is sent to."""

    def __init__(self, *, takes: bool = True) -> None:
        self.takes = takes
        self.sent: list[Message] = []
        self.gone = asyncio.Event()

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        if not self.takes and message.get("body"):
            await asyncio.Event().wait()

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)

    @property
    def is_ended(self) -> bool:
        return self.sent[-1].get("more_body") is False


async def answered(client: Client, stream: EventStream) -> None:
    async with asyncio.timeout(10):
        await stream({"type": "http"}, client.receive, client.send)


async def endless(*first: bytes) -> AsyncGenerator[bytes, None]:
    for piece in first:
        yield piece
    await asyncio.Event().wait()


async def test_a_stream_ends_in_order_without_an_end_of_its_events_when_the_process_takes_leave() -> None:
    client, leaving = Client(), asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, leaving.set)
    await answered(client, EventStream(endless(b"data: x\n\n"), leaving=leaving))
    assert client.body == b"data: x\n\n"
    assert client.is_ended


async def test_what_comes_as_the_process_takes_leave_is_still_sent() -> None:
    client, leaving = Client(), asyncio.Event()
    last: asyncio.Queue[bytes] = asyncio.Queue()

    async def body() -> AsyncGenerator[bytes, None]:
        while piece := await last.get():
            yield piece

    leaving.set()
    asyncio.get_running_loop().call_later(0.01, last.put_nowait, b"event: done\n\n")
    await answered(client, EventStream(body(), leaving=leaving))
    assert client.body == b"event: done\n\n"


async def test_who_takes_nothing_is_not_told_that_all_is_well() -> None:
    client = Client(takes=False)
    await answered(client, EventStream(endless(b"data: x\n\n"), send_timeout_s=0.01))
    assert not client.is_ended


@pytest.mark.parametrize("end", ["whole", "left", "gone", "stuck"])
async def test_a_stream_counts_as_open_for_as_long_as_it_is(end: str) -> None:
    seen: list[str] = []

    @contextmanager
    def counted() -> Iterator[None]:
        seen.append("open")
        yield
        seen.append("closed")

    client, leaving = Client(takes=end != "stuck"), asyncio.Event()
    body = frames(_nothing()) if end == "whole" else endless(b"x")
    stream = EventStream(body, send_timeout_s=0.01, leaving=leaving, while_open=counted())
    if end != "whole":
        asyncio.get_running_loop().call_later(0.05, (leaving if end == "left" else client.gone).set)
    await answered(client, stream)
    assert seen == ["open", "closed"]


async def _nothing() -> AsyncGenerator[Sequence[Entry], None]:
    for batch in ():
        yield batch
