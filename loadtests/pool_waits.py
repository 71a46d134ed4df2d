"""The slots' queue in simulated time: who waits how long, and what each estimator had told them.

Real arrivals over the real `SlotTable`; several processes look at it at intervals, and an estimator of each
process learns only from those who waited there.
"""

from __future__ import annotations

import csv
import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from typing import Protocol

from backend.core.errors import PoolFull
from backend.pool.slots.base import Capacity, Granted, Snapshot, Ticket
from backend.pool.slots.table import Entry, SlotTable

MODEL = "m"
PREFILL_PER_S = 2000.0
DECODE_PER_S = 40.0
PATIENCE_S = 600.0
LEAVES_WITHIN_S = 20.0


class Estimator(Protocol):
    """What tells a waiter how long it will take."""

    def interval_s(self, view: Snapshot, model: str, position: int) -> tuple[float, float]: ...

    def waited(self, told: tuple[float, float], waited_s: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Scene:
    """Who asks, and what answers.

    Attributes:
        trace: Which arrivals of the file.
        speeds: One instance each.
        load: Work that arrives over work that can be done.
        greedy_share: Part of the requests that come from the few `greedy` subjects.
        leaving: Part of the waiters who give up within `LEAVES_WITHIN_S`.
    """

    trace: str = "azure_conv_2023"
    speeds: tuple[float, ...] = (1.0, 1.0, 1.0)
    slots: int = 4
    load: float = 0.9
    subjects: int = 50
    greedy: int = 3
    greedy_share: float = 0.3
    leaving: float = 0.02
    processes: int = 6
    refresh_s: float = 0.5


@dataclass(frozen=True, slots=True)
class Request:
    """When it comes, and how long it holds a slot of an instance of speed 1."""

    at_s: float
    service_s: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """One waiter: what it was told when it joined, and what came of it."""

    position: int
    low_s: float
    high_s: float
    waited_s: float


def requests(path: Path, scene: Scene, *, limit: int | None = None) -> list[Request]:
    """The trace of the scene, stretched in time so that it makes its load."""
    with path.open(encoding="utf-8", newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["trace"] == scene.trace][:limit]
    at = [float(row["t_s"]) - float(rows[0]["t_s"]) for row in rows]
    service = [
        int(row["prompt_tokens"]) / PREFILL_PER_S + int(row["output_tokens"]) / DECODE_PER_S for row in rows
    ]
    stretch = sum(service) / (scene.load * scene.slots * sum(scene.speeds)) / at[-1]
    return [Request(t * stretch, s) for t, s in zip(at, service, strict=True)]


def simulate(
    asked: Sequence[Request], scene: Scene, makers: Mapping[str, Callable[[], Estimator]], seed: int
) -> dict[str, list[Outcome]]:
    """Outcomes in the order in which the waiters got their slots, for each estimator, in the same run."""
    return _Run(asked, scene, makers, Random(seed)).outcomes()


@dataclass(slots=True, eq=False)
class _Waiter:
    """One request on its way.

    Attributes:
        told: What each estimator said, in the order of the makers; empty if it had not to wait.
    """

    process: int
    service_s: float
    joined_s: float = 0.0
    position: int = 0
    told: list[tuple[float, float]] = field(default_factory=list)


class _Run:
    def __init__(
        self,
        asked: Sequence[Request],
        scene: Scene,
        makers: Mapping[str, Callable[[], Estimator]],
        rng: Random,
    ) -> None:
        self._scene, self._rng = scene, rng
        self._table = SlotTable(512, rng)
        self._speed = {f"i{n}": speed for n, speed in enumerate(scene.speeds)}
        for name in self._speed:
            self._table.put(name, Capacity(scene.slots), 0.0)
        self._estimators = [{name: make() for name, make in makers.items()} for _ in range(scene.processes)]
        self._views = [self._table.view(0.0)] * scene.processes
        self._outcomes: dict[str, list[Outcome]] = {name: [] for name in makers}
        self._waiters: dict[str, _Waiter] = {}
        self._order = count()
        self._agenda: list[tuple[float, int, Callable[[float], None]]] = []
        for number, request in enumerate(asked):
            self._at(request.at_s, self._arrival(str(number), request.service_s))
        self._open = len(asked)

    def outcomes(self) -> dict[str, list[Outcome]]:
        for process in range(self._scene.processes):
            self._look(process, self._rng.random() * self._scene.refresh_s)
        while self._open:
            now, _, happen = heapq.heappop(self._agenda)
            self._settle(self._table.expire(now), now)
            happen(now)
        return self._outcomes

    def _at(self, when: float, happen: Callable[[float], None]) -> None:
        heapq.heappush(self._agenda, (when, next(self._order), happen))

    def _look(self, process: int, now: float) -> None:
        self._views[process] = self._table.view(now)
        self._at(now + self._scene.refresh_s, lambda at: self._look(process, at))

    def _arrival(self, ticket: str, service_s: float) -> Callable[[float], None]:
        return lambda now: self._join(
            ticket, _Waiter(self._rng.randrange(self._scene.processes), service_s), now
        )

    def _join(self, ticket: str, waiter: _Waiter, now: float) -> None:
        try:
            place = self._table.join(Ticket(ticket, MODEL, self._subject(), PATIENCE_S), {}, now)
        except PoolFull:
            self._open -= 1
            return
        self._waiters[ticket] = waiter
        if isinstance(place, Granted):
            self._begin(ticket, place.instance, now)
            return
        waiter.joined_s, waiter.position = now, place.position
        view = self._views[waiter.process]
        estimators = self._estimators[waiter.process].values()
        waiter.told = [estimator.interval_s(view, MODEL, place.position) for estimator in estimators]
        if self._rng.random() < self._scene.leaving:
            self._at(now + self._rng.random() * LEAVES_WITHIN_S, lambda at: self._give_up(ticket, at))

    def _subject(self) -> str:
        scene = self._scene
        if self._rng.random() < scene.greedy_share:
            return f"greedy {self._rng.randrange(scene.greedy)}"
        return f"subject {self._rng.randrange(scene.subjects - scene.greedy)}"

    def _settle(self, entries: Iterable[Entry], now: float) -> None:
        for entry in entries:
            ticket = entry.ticket.id
            if entry.instance is None:
                self._end(ticket, now)
                continue
            self._note(self._waiters[ticket], now)
            self._begin(ticket, entry.instance, now)

    def _note(self, waiter: _Waiter, now: float) -> None:
        waited_s = now - waiter.joined_s
        estimators = self._estimators[waiter.process].items()
        for (name, estimator), told in zip(estimators, waiter.told, strict=True):
            self._outcomes[name].append(Outcome(waiter.position, *told, waited_s))
            estimator.waited(told, waited_s)

    def _begin(self, ticket: str, instance: str, now: float) -> None:
        held_s = self._waiters[ticket].service_s / self._speed[instance]
        self._at(now + held_s, lambda at: self._end(ticket, at, held_s))

    def _end(self, ticket: str, now: float, held_s: float | None = None) -> None:
        if self._waiters.pop(ticket, None) is not None:
            self._open -= 1
            self._settle(self._table.leave(ticket, now, held_s), now)

    def _give_up(self, ticket: str, now: float) -> None:
        entry = self._table.entries.get(ticket)
        if entry is not None and entry.instance is None:
            self._end(ticket, now)
