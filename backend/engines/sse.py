"""Server-sent events out of bytes, as they arrive.

Source: WHATWG HTML, section 9.2.6. Only what model servers use is kept: the data of each event. `event`,
`id` and `retry` are read over; a line with any other name means that this is no event stream.
"""

from __future__ import annotations

from backend.core.errors import EngineError

MAX_EVENT_BYTES = 1_000_000
_FIELDS = (b"event", b"id", b"retry")
_BOM = b"\xef\xbb\xbf"


class EventParser:
    """Cuts a byte stream into the data of its events, however the bytes are split.

    Args:
        max_bytes: Largest line, and largest event.
    """

    def __init__(self, *, max_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._tail: list[bytes] = []
        self._tail_bytes = 0
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._after_cr = False
        self._begun = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of every event that `chunk` completes.

        Raises:
            EngineError: A line or an event is too long, or a line is no field of an event stream.
        """
        if b"\r" in chunk or self._after_cr:
            chunk = self._unified(chunk)
        if b"\n" not in chunk:
            self._keep(chunk)
            return []
        lines = b"".join((*self._tail, chunk)).split(b"\n")
        self._tail, self._tail_bytes = [], 0
        self._keep(lines.pop())
        events: list[bytes] = []
        for line in lines:
            self._read(line, events)
        return events

    def _unified(self, chunk: bytes) -> bytes:
        """`chunk` with each line end as one LF; a CR at the end of a chunk may be half of a CRLF."""
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
            self._after_cr = False
        if chunk:
            self._after_cr = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _keep(self, part: bytes) -> None:
        if part:
            self._tail.append(part)
            self._tail_bytes += len(part)
            if self._tail_bytes > self._max_bytes:
                raise EngineError("the model server sent a line that is too long")

    def _read(self, line: bytes, events: list[bytes]) -> None:
        if not self._begun:
            self._begun = True
            line = line.removeprefix(_BOM)
        if line.startswith(b"data:"):
            self._add(line[6:] if line.startswith(b" ", 5) else line[5:])
        elif not line:
            if self._data:
                events.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                self._data, self._data_bytes = [], 0
        elif line == b"data":
            self._add(b"")
        elif (
            name := line.partition(b":")[0]
        ) and name not in _FIELDS:  # no name: a comment, sent to keep alive
            raise EngineError("the model server sent something that is no event")

    def _add(self, value: bytes) -> None:
        self._data.append(value)
        self._data_bytes += len(value)
        if self._data_bytes > self._max_bytes:
            raise EngineError("the model server sent an event that is too long")
