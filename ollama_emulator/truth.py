"""What really happened, which no client of the real server can see: events, counters, a record a request."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

EVENTS_KEPT = 100_000
REQUESTS_KEPT = 20_000
QUESTION_KEPT = 80


def shortened(text: str) -> str:
    """How it begins and ends."""
    if len(text) <= 2 * QUESTION_KEPT:
        return text
    return f"{text[:QUESTION_KEPT]}…{text[-QUESTION_KEPT:]}"


@dataclass(slots=True)
class Record:
    """One request, from arrival to its end.

    Attributes:
        tokens: Generated, whether or not somebody read them.
        tokens_after_gone: Of those, after the client had gone: the proof that cancelling works.
        question: How the last message of the user begins and ends: tells whose request it is.
        begun: Characters of the answer that it came with, to be gone on from.
        options: As the model server got them, or as OpenAI's dialect was translated.
        outcome: open, done, error, refused, gone, or the kind of the fault that ended it.
    """

    id: int
    path: str
    model: str = ""
    arrived_s: float = 0.0
    first_token_s: float | None = None
    gone_s: float | None = None
    ended_s: float | None = None
    status: int = 0
    slot: int | None = None
    prompt_tokens: int = 0
    cached_tokens: int = 0
    tokens: int = 0
    tokens_after_gone: int = 0
    objects: int = 0
    question: str = ""
    begun: int = 0
    options: dict[str, Any] = field(default_factory=dict)
    outcome: str = "open"


@dataclass(slots=True)
class Peaks:
    """Most at once, of one model file, over all runners it had."""

    in_flight: int = 0
    slots: int = 0
    waiting: int = 0


@dataclass(slots=True)
class Truth:
    """Written by every part, read by the control port and by tests.

    Attributes:
        lost_s: Emulated time in which a runner stood still because this process did not get to run. A load
            test with much of it has measured its own machine.
    """

    now: Callable[[], float]
    events: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=EVENTS_KEPT))
    records: dict[int, Record] = field(default_factory=dict)
    peaks: dict[str, Peaks] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    lost_s: float = 0.0
    _event_ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _request_ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def arrive(self, path: str) -> Record:
        """A new request's record."""
        record = Record(next(self._request_ids), path, arrived_s=self.now())
        self.records[record.id] = record
        if len(self.records) > REQUESTS_KEPT:
            del self.records[next(iter(self.records))]
        self.event("arrive", record.id, path=path)
        return record

    def event(self, kind: str, request: int | None = None, **more: Any) -> None:
        """Something happened: `at_s` in emulated time, `mono_s` on the clock all processes here share."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        about = {"id": next(self._event_ids), "at_s": round(self.now(), 6), "event": kind}
        about["mono_s"] = round(time.monotonic(), 6)
        if request is not None:
            about["request"] = request
        self.events.append(about | more)

    def peak(self, name: str) -> Peaks:
        """The peaks of the model `name`."""
        return self.peaks.setdefault(name, Peaks())

    def since(self, event_id: int) -> list[dict[str, Any]]:
        """Events after that id."""
        return [event for event in self.events if event["id"] > event_id]

    def totals(self) -> dict[str, Any]:
        """Sums over the requests kept."""
        records = self.records.values()
        return {
            "requests": len(self.records),
            "tokens": sum(r.tokens for r in records),
            "tokens_after_gone": sum(r.tokens_after_gone for r in records),
            "open": sum(r.outcome == "open" for r in records),
            "peaks": {name: asdict(peaks) for name, peaks in self.peaks.items()},
            "events": dict(self.counts),
            "lost_s": self.lost_s,
        }

    def reset(self) -> None:
        """Forget all but the requests still open."""
        self.events.clear()
        self.records = {i: r for i, r in self.records.items() if r.outcome == "open"}
        self.peaks.clear()
        self.counts.clear()
        self.lost_s = 0.0
