"""What the emulators know of each request: where it went, when it got a slot, when it gave it up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loadtests.pool.arrivals import arrival_id


@dataclass(slots=True)
class Attempt:
    """One request on one instance; times are `time.monotonic()` of the machine.

    Attributes:
        arrival: Whose it is.
        slot_s: None when it left, or was refused, without a slot.
    """

    arrival: int
    instance: str
    model: str
    arrive_s: float
    slot_s: float | None = None
    free_s: float | None = None
    done_s: float | None = None

    @property
    def inner_wait_s(self) -> float:
        """How long it stood in the instance's own queue, where nobody can call it back."""
        end = self.slot_s if self.slot_s is not None else self.done_s
        return end - self.arrive_s if end is not None else 0.0


_FIELDS = {"slot_get": "slot_s", "slot_free": "free_s", "done": "done_s"}


def attempts_of(
    instance: str, events: Iterable[Mapping[str, Any]], requests: Iterable[Mapping[str, Any]]
) -> list[Attempt]:
    """Attempts on one instance, from its events and its request records; other traffic is left out."""
    whose = {r["id"]: (number, r["model"]) for r in requests if (number := arrival_id(r["question"]))}
    found: dict[int, Attempt] = {}
    for event in events:
        number = int(event.get("request", 0))
        if number not in whose:
            continue
        if event["event"] == "arrive":
            found[number] = Attempt(whose[number][0], instance, whose[number][1], event["mono_s"])
        elif number in found and event["event"] in _FIELDS:
            setattr(found[number], _FIELDS[event["event"]], event["mono_s"])
    return list(found.values())


def over_admitted(attempts: Iterable[Attempt], slots: Mapping[str, int]) -> int:
    """How many attempts reached an instance that had as many requests as slots already.

    A request counts there until its slot is free, which is before its last line is sent.
    """
    by_instance: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        by_instance[attempt.instance].append(attempt)
    return sum(_beyond(found, slots[instance]) for instance, found in by_instance.items())


def _beyond(attempts: Sequence[Attempt], slots: int) -> int:
    ends = [a.done_s if a.free_s is None else a.free_s for a in attempts]
    changes = [(a.arrive_s, 1) for a in attempts] + [(end, -1) for end in ends if end is not None]
    inside = beyond = 0
    for _, change in sorted(changes):
        inside += change
        beyond += change > 0 and inside > slots
    return beyond
