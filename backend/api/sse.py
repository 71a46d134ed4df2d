"""Server-sent events: a run's events as frames, and the response that carries them.

Source: WHATWG HTML, section 9.2. All data is JSON on one line, so content cannot forge a frame.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractContextManager, aclosing, nullcontext

import orjson
from anyio import create_task_group
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from backend.core.aio import Limit
from backend.core.events import Event
from backend.generations.base import START, Batch, Entry

RETRY = b"retry: 1000\n"
"""Within the first event: some clients stumble over a block without data."""
HEARTBEAT = b": ping\n\n"
LAST_WORDS_S = 0.2
HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}


def frame(event: Event, entry_id: str | None = None) -> bytes:
    """One event as it travels."""
    head = f"id: {entry_id}\nevent: {event.name}\ndata: " if entry_id else f"event: {event.name}\ndata: "
    return head.encode() + orjson.dumps(event) + b"\n\n"


async def frames(batches: AsyncGenerator[Sequence[Entry], None]) -> AsyncGenerator[bytes, None]:
    """A run's events, and a heartbeat wherever nothing came for a while."""
    first = True
    async with aclosing(batches):
        async for batch in batches:
            body = _encoded(batch)
            if first and body:
                first, body = False, RETRY + body
            yield body or HEARTBEAT


def _encoded(batch: Sequence[Entry]) -> bytes:
    """The frames of a batch; one that many followers get is encoded by the first of them."""
    if not isinstance(batch, Batch):
        return b"".join([_framed(entry) for entry in batch])
    if batch.encoded is None:
        batch.encoded = b"".join([_framed(entry) for entry in batch])
    return batch.encoded


def _framed(entry: Entry) -> bytes:
    return frame(entry.event, None if entry.id is START else str(entry.id))


class EventStream(Response):
    """Streams frames until they end, the client goes or the process does; going is noticed at once.

    Starlette's own streaming response looks for a disconnect only when it sends.

    Args:
        leaving: The process takes leave: the response ends without an end of its events, which a client takes
            for a reason to come back.
        while_open: Is entered for as long as the stream is open.
        send_timeout_s: A client that takes nothing for so long is dropped; it may come back and resume.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        body: AsyncGenerator[bytes, None],
        *,
        send_timeout_s: float = 30.0,
        leaving: asyncio.Event | None = None,
        while_open: AbstractContextManager[None] | None = None,
    ) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers(HEADERS)
        self._frames = body
        self._send_timeout_s = send_timeout_s
        self._leaving = leaving or asyncio.Event()
        self._while_open = while_open or nullcontext()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all frames."""
        with self._while_open:
            await self._respond(receive, send)

    async def _respond(self, receive: Receive, send: Send) -> None:
        async with create_task_group() as tasks:

            async def watch() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                tasks.cancel_scope.cancel()

            tasks.start_soon(watch)
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            if await self._until_leaving(send):
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            tasks.cancel_scope.cancel()

    async def _until_leaving(self, send: Send) -> bool:
        """Whether the client took all; what was written before the process took leave is still sent."""
        taken = True
        async with create_task_group() as sending:

            async def stop() -> None:
                await self._leaving.wait()
                await asyncio.sleep(LAST_WORDS_S)
                sending.cancel_scope.cancel()

            sending.start_soon(stop)
            taken = await self._stream(send)
            sending.cancel_scope.cancel()
        return taken

    async def _stream(self, send: Send) -> bool:
        async with aclosing(self._frames) as body:
            with Limit() as limit:
                async for chunk in body:
                    message = {"type": "http.response.body", "body": chunk, "more_body": True}
                    try:
                        await limit.within(self._send_timeout_s, send(message))
                    except (TimeoutError, OSError):
                        return False
        return True
