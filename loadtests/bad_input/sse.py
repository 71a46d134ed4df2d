"""A reader of event streams, written from the standard alone, and the grammar that a run's stream must keep.

Source: WHATWG HTML, section 9.2.6.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

NAMES = frozenset({"started", "queue", "sources", "thinking", "delta", "replace", "done", "error"})
TERMINAL = frozenset({"done", "error"})
_LINE = re.compile("\r\n|\n|\r")
_ID = re.compile(r"\d+-\d+")


@dataclass(frozen=True, slots=True)
class Event:
    """One dispatched event."""

    name: str
    data: str
    id: str


def events(stream: bytes) -> list[Event]:
    """What a browser would dispatch."""
    found: list[Event] = []
    name, last_id = "", ""
    data: list[str] = []
    for line in _LINE.split(stream.decode("utf-8")):
        if not line:
            if data:
                found.append(Event(name or "message", "\n".join(data), last_id))
            name, data = "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif field == "id" and "\0" not in value:
            last_id = value
    return found


def forged(stream: bytes) -> list[str]:
    """Everything in the stream that our server does not say; empty if the grammar is kept."""
    found = events(stream)
    wrong = [f"event {event.name!r:.40}" for event in found if event.name not in NAMES]
    wrong += [f"data {event.data!r:.60}" for event in found if not _is_object(event.data)]
    wrong += [f"id {event.id!r:.40}" for event in found if event.id and not _ID.fullmatch(event.id)]
    names = [event.name for event in found]
    if names[:1] != ["started"] or names.count("started") != 1:
        wrong.append("not exactly one started, first")
    if sum(name in TERMINAL for name in names) != 1 or names[-1] not in TERMINAL:
        wrong.append("not exactly one end, last")
    return wrong


def answer_of(stream: bytes) -> str:
    """The text that a reader sees."""
    text = ""
    for event in events(stream):
        value: dict[str, Any] = json.loads(event.data)
        if event.name == "delta":
            text += value["text"]
        elif event.name == "replace" and value["channel"] == "answer":
            text = value["text"]
    return text


def _is_object(data: str) -> bool:
    try:
        return isinstance(json.loads(data), dict)
    except ValueError:
        return False
