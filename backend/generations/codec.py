"""Events and request records as bytes, and back: what a log keeps, in memory or elsewhere.

Text is kept as it is, since nearly every entry is a piece of text; the rest is JSON. A process of another
version may read it: a new field needs a default.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import orjson
from pydantic import TypeAdapter

from backend.core.events import Delta, Done, Failed, LogEvent, Origin, Queue, Replace, Sources, Thinking
from backend.generations.base import RequestRecord

Bytes = bytes | bytearray
_TEXT: Final = (Delta, Thinking)
_RECORD: Final = TypeAdapter(RequestRecord)


def _text(data: Bytes) -> str:
    return str(data, "utf-8")


_DECODERS: dict[str, Callable[[Bytes], LogEvent]] = {
    Delta.name: lambda data: Delta(_text(data)),
    Thinking.name: lambda data: Thinking(_text(data)),
    Origin.name: TypeAdapter(Origin).validate_json,
    Queue.name: TypeAdapter(Queue).validate_json,
    Sources.name: TypeAdapter(Sources).validate_json,
    Replace.name: TypeAdapter(Replace).validate_json,
    Done.name: TypeAdapter(Done).validate_json,
    Failed.name: TypeAdapter(Failed).validate_json,
}


_LETTERS: Final = {
    Delta.name: b"d",
    Thinking.name: b"t",
    Origin.name: b"o",
    Queue.name: b"q",
    Sources.name: b"s",
    Replace.name: b"r",
    Done.name: b"z",
    Failed.name: b"x",
}
"""An entry in a shared log begins with one; all processes know them, of whatever version."""
_NAMES: Final = {letter.decode(): name for name, letter in _LETTERS.items()}


def to_wire(name: str, data: bytes) -> bytes:
    """An event as one value."""
    return _LETTERS[name] + data


def from_wire(text: str) -> tuple[str, bytes]:
    """The name of the event, and what is kept of it.

    Raises:
        ValueError: No event has this letter.
    """
    name = _NAMES.get(text[:1])
    if name is None:
        raise ValueError("no event is written so")
    return name, text[1:].encode("utf-8", "surrogateescape")


def encode(event: LogEvent) -> bytes:
    """What is kept of an event beside its name."""
    if isinstance(event, _TEXT):
        return event.text.encode()
    return orjson.dumps(event)


def decode(name: str, data: Bytes) -> LogEvent:
    """The event of that name.

    Raises:
        ValueError: No event has this name, or these are not its bytes.
    """
    decoder = _DECODERS.get(name)
    if decoder is None:
        raise ValueError(f"no event is called {name[:20]!r}")
    return decoder(data)


def encode_record(record: RequestRecord) -> bytes:
    """A request record; what it holds of a set is sorted."""
    # A copy: orjson's bytes keep the room they were written in, four times theirs.
    return bytes(memoryview(orjson.dumps(record, default=sorted)))


def decode_record(data: bytes) -> RequestRecord:
    """The record that these bytes are of.

    Raises:
        ValueError: They are of none.
    """
    return _RECORD.validate_json(data)
