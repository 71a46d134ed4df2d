"""Server-sent events: a run's events as frames, and the response that carries them.

Source: WHATWG HTML, section 9.2. All data is JSON on one line, so content cannot forge a frame.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing

import orjson
from anyio import create_task_group
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from backend.chat.transcript import Followed
from backend.core.aio import Limit
from backend.core.events import Delta, Event, Started, Thinking
from backend.generations.base import Entry

RETRY = b"retry: 1000\n"
"""Within the first event: some clients stumble over a block without data."""
HEARTBEAT = b": ping\n\n"
HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}


def frame(event: Event, entry_id: str | None = None) -> bytes:
    """One event as it travels."""
    head = f"id: {entry_id}\nevent: {event.name}\ndata: " if entry_id else f"event: {event.name}\ndata: "
    return head.encode() + orjson.dumps(event) + b"\n\n"


async def frames(started: Started, stretches: AsyncGenerator[Followed, None]) -> AsyncGenerator[bytes, None]:
    """A whole run: `started`, its events, and a heartbeat wherever nothing came for a while."""
    yield RETRY + frame(started)
    async with aclosing(stretches):
        async for stretch in stretches:
            body = b"".join(frame(entry.event, str(entry.id)) for entry in merged(stretch.entries))
            if stretch.end is not None:
                body += frame(stretch.end)
            yield body or HEARTBEAT


def merged(entries: Sequence[Entry]) -> Iterator[Entry]:
    """The same text in fewer entries: neighbouring pieces become one, under the id of the last."""
    held: Entry | None = None
    for entry in entries:
        if held is not None:
            joined = _joined(held, entry)
            if joined is None:
                yield held
            entry = joined or entry
        held = entry
    if held is not None:
        yield held


def _joined(first: Entry, second: Entry) -> Entry | None:
    match first.event, second.event:
        case Delta(a), Delta(b):
            return Entry(second.id, Delta(a + b))
        case Thinking(a), Thinking(b):
            return Entry(second.id, Thinking(a + b))
    return None


class EventStream(Response):
    """Streams frames until they end or the client goes; going is noticed at once.

    Starlette's own streaming response looks for a disconnect only when it sends.

    Args:
        send_timeout_s: A client that takes nothing for so long is dropped; it may come back and resume.
    """

    media_type = "text/event-stream"

    def __init__(self, body: AsyncGenerator[bytes, None], *, send_timeout_s: float = 30.0) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers(HEADERS)
        self._frames = body
        self._send_timeout_s = send_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all frames."""
        async with create_task_group() as tasks:

            async def watch() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                tasks.cancel_scope.cancel()

            tasks.start_soon(watch)
            await self._stream(send)
            tasks.cancel_scope.cancel()

    async def _stream(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with aclosing(self._frames) as body:
            with Limit() as limit:
                async for chunk in body:
                    message = {"type": "http.response.body", "body": chunk, "more_body": True}
                    try:
                        await limit.within(self._send_timeout_s, send(message))
                    except (TimeoutError, OSError):
                        return
        await send({"type": "http.response.body", "body": b"", "more_body": False})
