"""What a client process writes down about each request; times are `time.monotonic()` of the machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

DONE = "done"


@dataclass(slots=True)
class Told:
    """One `Waiting` event, and when it was read."""

    at_s: float
    position: int
    low_s: float
    high_s: float


@dataclass(slots=True)
class Record:
    """One request as its reader saw it.

    Attributes:
        assigned: When it got an instance, and which; more than one if it was tried again.
        late_s: By how much the process was late to send it: this machine was busy, not the emulated ones.
        outcome: "done", the code of the error, or "open" when its process ended first.
        lost: Words of the count that never came; `twice`: words that came more often than once.
    """

    id: int
    process: int
    model: str
    subject: str
    arrived_s: float
    told: list[Told] = field(default_factory=list)
    assigned: list[tuple[float, str]] = field(default_factory=list)
    late_s: float = 0.0
    first_s: float | None = None
    ended_s: float | None = None
    outcome: str = "open"
    retry_after_s: float | None = None
    output_tokens: int = 0
    lost: int = 0
    twice: int = 0
    restarts: int = 0

    @property
    def is_done(self) -> bool:
        return self.outcome == DONE

    @property
    def first_token_s(self) -> float | None:
        """Seconds from the request to the first text; None if there was none."""
        return None if self.first_s is None else self.first_s - self.arrived_s

    def compare(self, text: str) -> None:
        """Note which of the words 1, 2, …, `output_tokens` are not in `text`, or too often."""
        words = text.split()
        right = {str(n) for n in range(1, self.output_tokens + 1)}
        self.lost = len(right - set(words))
        self.twice = len(words) - len(set(words))


def to_line(record: Record) -> bytes:
    return orjson.dumps(asdict(record)) + b"\n"


def read_records(paths: Iterable[Path]) -> list[Record]:
    """All records of these files, in order of arrival; half a last line (a killed process) is left out."""
    found = [_read(line) for path in paths for line in path.read_bytes().split(b"\n")[:-1]]
    return sorted(found, key=lambda record: record.arrived_s)


def _read(line: bytes) -> Record:
    data: dict[str, Any] = orjson.loads(line)
    data["told"] = [Told(**told) for told in data["told"]]
    data["assigned"] = [(at_s, instance) for at_s, instance in data["assigned"]]
    return Record(**data)
