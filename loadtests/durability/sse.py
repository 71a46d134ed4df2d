"""Server-sent events as they come, piece by piece."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson


class Event(NamedTuple):
    """One event; `id` is that of the last event that had one."""

    name: str
    data: dict[str, Any]
    id: str


class Parser:
    """Takes bytes in any cut, gives the events that are whole by then.

    Only what our server writes is understood: lines end with LF, data is one line of JSON.

    Attributes:
        retry_s: What the server last said of it; None: nothing.
    """

    def __init__(self) -> None:
        self.retry_s: float | None = None
        self._rest = b""
        self._id = ""

    def push(self, data: bytes) -> list[Event]:
        """The events that these bytes complete."""
        *blocks, self._rest = (self._rest + data).split(b"\n\n")
        return [event for block in blocks if (event := self._event(block)) is not None]

    def _event(self, block: bytes) -> Event | None:
        name, data = "message", b""
        for line in block.split(b"\n"):
            field, _, value = line.partition(b": ")
            if field == b"event":
                name = value.decode()
            elif field == b"data":
                data = value
            elif field == b"id":
                self._id = value.decode()
            elif field == b"retry":
                self.retry_s = int(value) / 1000
        return Event(name, orjson.loads(data), self._id) if data else None
