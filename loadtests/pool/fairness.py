"""What an ideal scheduler would have done with the same arrivals, and how even a share is."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Job:
    """One request as a scheduler of slots sees it.

    Attributes:
        service_s: How long it holds its slot. The ideal scheduler knows it, no real one does.
    """

    at_s: float
    subject: str
    service_s: float


class _Fair:
    """Start-time fair queueing over subjects of equal weight, with the true cost of every job.

    Source: Goyal, Vin, Cheng, "Start-time Fair Queuing", SIGCOMM 1996.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._finish: dict[str, float] = {}
        self._queues: dict[str, deque[tuple[float, int]]] = {}

    def put(self, number: int, job: Job) -> None:
        start = max(self._now, self._finish.get(job.subject, 0.0))
        self._finish[job.subject] = start + job.service_s
        self._queues.setdefault(job.subject, deque()).append((start, number))

    def take(self) -> int:
        subject = min(self._queues, key=lambda name: self._queues[name][0])
        self._now, number = self._queues[subject].popleft()
        if not self._queues[subject]:
            del self._queues[subject]
        return number

    def forget(self) -> None:
        """Nobody is served any more: what each has had no longer counts."""
        self._now = max(self._finish.values(), default=0.0)

    def __bool__(self) -> bool:
        return bool(self._queues)


class _InOrder:
    """First come, first served."""

    def __init__(self) -> None:
        self._queue: deque[int] = deque()

    def put(self, number: int, job: Job) -> None:
        self._queue.append(number)

    def take(self) -> int:
        return self._queue.popleft()

    def forget(self) -> None:
        pass

    def __bool__(self) -> bool:
        return bool(self._queue)


def fair_waits_s(jobs: Sequence[Job], slots: int) -> list[float]:
    """Each job's wait under an ideal fair scheduler that interrupts nobody, `jobs` in order of arrival."""
    return _waits_s(jobs, slots, _Fair())


def fifo_waits_s(jobs: Sequence[Job], slots: int) -> list[float]:
    """Each job's wait when all stand in one queue."""
    return _waits_s(jobs, slots, _InOrder())


def _waits_s(jobs: Sequence[Job], slots: int, queue: _Fair | _InOrder) -> list[float]:
    waits = [0.0] * len(jobs)
    ends: list[float] = []
    arrived = 0
    while arrived < len(jobs) or queue:
        next_s = jobs[arrived].at_s if arrived < len(jobs) else float("inf")
        now_s = min(next_s, ends[0]) if ends else next_s
        while ends and ends[0] <= now_s:
            heapq.heappop(ends)
        if not ends and not queue:
            queue.forget()
        while arrived < len(jobs) and jobs[arrived].at_s <= now_s:
            queue.put(arrived, jobs[arrived])
            arrived += 1
        while queue and len(ends) < slots:
            number = queue.take()
            waits[number] = now_s - jobs[number].at_s
            heapq.heappush(ends, now_s + jobs[number].service_s)
    return waits


def jain(shares: Mapping[str, float] | Sequence[float]) -> float:
    """Jain's index of fairness: 1 when all are equal, 1/n when one has everything; NaN of nothing."""
    values = list(shares.values() if isinstance(shares, Mapping) else shares)
    squares = sum(v * v for v in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else float("nan")
