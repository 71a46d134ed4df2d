"""The rules of slots and queue, without I/O: every change is one step that leaves no slot free in vain.

`lua/` says the same in Redis; one contract test and one state machine run over both.

Source: P. Goyal, H. Vin, H. Cheng, "Start-time Fair Queueing", SIGCOMM 1996: a ticket's tag is the virtual
time at which its flow may be served again. Virtual time follows the tags served, and at the end of each
generation advances by its cost over the number of active flows: newcomers without end pass nobody for ever.
"""

from __future__ import annotations

import math
from bisect import bisect, insort
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from random import Random

from backend.core.errors import DeadlineExceeded, LibriError, NoInstance, PoolFull
from backend.pool.slots.base import Capacity, Granted, Place, Snapshot, Ticket

PRIOR_COST_S = 5.0
"""Slot-seconds of a generation before any of the model was seen."""
MEAN_STEP = 0.1
"""Weight of the newest generation in the running mean."""
BATCH_WEIGHT = 0.1
BATCH_LAG = 10.0
"""A batch ticket's turn comes so many mean costs of virtual time later."""
DURATIONS_KEPT = 128
PER_FLOW = 4
"""One flow may have that part of the queue's bound; batch tickets half of it together."""


@dataclass(slots=True)
class Entry:
    """A ticket in the queue or on a slot.

    Attributes:
        until: When its patience is over.
        expected_s: How long it is thought to hold its slot; 0 if an earlier ticket was charged for it.
        cost: What its flow is charged in virtual time: `expected_s` over the flow's weight.
        since: When it joined, then when its slot was taken.
        instance: Whose slot it holds.
        end: Why it is void.
    """

    ticket: Ticket
    until: float
    tag: float
    expected_s: float
    cost: float
    since: float
    order: int
    instance: str | None = None
    end: LibriError | None = None

    @property
    def key(self) -> tuple[float, int]:
        """Its place among those who wait for the same model."""
        return self.tag, self.order


@dataclass(slots=True)
class SlotTable:
    """All slots and the queue; times are seconds of any one clock that only goes forward.

    Args:
        queue_limit: Most tickets waiting.
    """

    queue_limit: int
    rng: Random
    capacities: dict[str, Capacity] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    held: dict[str, dict[str, Entry]] = field(default_factory=dict)
    queues: dict[str, list[tuple[float, int, str]]] = field(default_factory=dict)
    durations: dict[str, list[float]] = field(default_factory=dict)
    _virtual: float = 0.0
    _finish: dict[str, float] = field(default_factory=dict)
    _live: dict[str, int] = field(default_factory=dict)
    _mean_s: dict[str, float] = field(default_factory=dict)
    _order: int = 0
    _soonest: float = math.inf

    def join(self, ticket: Ticket, weights: Mapping[str, float], now: float) -> Granted | Place:
        """Take a slot or a place; see the port.

        Raises:
            PoolFull, NoInstance
        """
        self._check_could(ticket)
        instance = self._best(ticket, weights)
        if instance is None and not ticket.returns:
            self._check_room(ticket)
        entry = self._entered(ticket, now)
        if instance is None:
            insort(self.queues.setdefault(ticket.model, []), (*entry.key, ticket.id))
            return self.place(ticket.id)
        self._seat(entry, instance, now)
        return Granted(instance, entry.tag)

    def peek(self, ticket: Ticket) -> int:
        """What `join` would give, without joining: a place, 0 for a slot.

        Raises:
            PoolFull, NoInstance
        """
        self._check_could(ticket)
        if self._best(ticket, {}) is not None:
            return 0
        self._check_room(ticket)
        lag = BATCH_LAG * self._expected_s(ticket.model) if ticket.priority == "batch" else 0.0
        turn = self._turn(ticket.flow) + lag, self._order + 1, ""
        return bisect(self.queues.get(ticket.model, []), turn) + 1

    def adopt(self, ticket: Ticket, instance: str, now: float) -> None:
        """Count a slot that was taken elsewhere, be there room or not."""
        self.held.setdefault(instance, {})
        self._seat(self._entered(replace(ticket, tag=self._virtual), now), instance, now)

    def leave(self, ticket: str, now: float, held_s: float | None = None) -> list[Entry]:
        """Give a slot or a place back; who got a slot by it."""
        entry = self.entries.pop(ticket, None)
        if entry is None:
            return []
        flows = len(self._live)
        self._uncount(entry.ticket.flow)
        if entry.end is not None:
            return []
        if entry.instance is None:
            self._unqueue(entry)
            self._refund(entry)
            return []
        del self.held[entry.instance][ticket]
        self._advance(self._virtual + entry.expected_s / flows)
        if held_s is not None:
            self._learn(entry, held_s)
        return self._fill(entry.instance, now)

    def place(self, ticket: str) -> Granted | Place:
        """Where a ticket stands.

        Raises:
            NoInstance, DeadlineExceeded: It is void.
        """
        entry = self.entries[ticket]
        if entry.end is not None:
            raise entry.end
        if entry.instance is not None:
            return Granted(entry.instance, entry.tag)
        queue = self.queues[entry.ticket.model]
        return Place(queue.index((*entry.key, ticket)) + 1, entry.tag)

    def promote(self, ticket: str) -> None:
        """Turn a waiting batch ticket into an interactive one."""
        entry = self.entries.get(ticket)
        if entry is None or entry.instance is not None or entry.end is not None:
            return
        if entry.ticket.priority == "interactive":
            return
        self._unqueue(entry)
        entry.ticket = replace(entry.ticket, priority="interactive")
        entry.tag = min(entry.tag, self._virtual)
        insort(self.queues.setdefault(entry.ticket.model, []), (*entry.key, ticket))

    def put(self, instance: str, room: Capacity, now: float) -> list[Entry]:
        """Add or change an instance; who got a slot by it, and who is void because of it."""
        self.capacities[instance] = room
        self.held.setdefault(instance, {})
        return [*self._fill(instance, now), *self._void_hopeless()]

    def remove(self, instance: str) -> list[Entry]:
        """Forget an instance; who is void because of it."""
        self.capacities.pop(instance, None)
        return self._void_hopeless()

    def expire(self, now: float) -> list[Entry]:
        """End the patience of those whose time is over; who is void, and who got a slot by it."""
        changed: list[Entry] = []
        if now < self._soonest:
            return changed
        for entry in [e for e in self.entries.values() if e.until <= now and e.end is None]:
            changed += self._expired(entry, now)
        self._soonest = min((e.until for e in self.entries.values() if e.end is None), default=math.inf)
        return changed

    def view(self, now: float) -> Snapshot:
        """All of it, as it is."""
        waiting = [e for e in self.entries.values() if e.instance is None and e.end is None]
        oldest = {model: now - self.entries[queue[0][2]].since for model, queue in self.queues.items()}
        return Snapshot(
            capacities=dict(self.capacities),
            held_s={name: [now - e.since for e in held.values()] for name, held in self.held.items()},
            serving={n: Counter(e.ticket.model for e in held.values()) for n, held in self.held.items()},
            waiting={model: len(queue) for model, queue in self.queues.items()},
            batch=sum(e.ticket.priority == "batch" for e in waiting),
            durations_s={model: tuple(seen) for model, seen in self.durations.items()},
            oldest_s=oldest,
        )

    def waiting(self) -> int:
        """Tickets in the queue."""
        return sum(map(len, self.queues.values()))

    def free(self, instance: str) -> int:
        """Slots of an instance that may be given out now."""
        room = self.capacities.get(instance)
        return room.slots - len(self.held.get(instance, ())) if room else 0

    def _check_could(self, ticket: Ticket) -> None:
        if not any(self._could(name, ticket) for name in self.capacities):
            raise NoInstance("no model server is available")

    def _could(self, instance: str, ticket: Ticket) -> bool:
        return instance not in ticket.tried and self.capacities[instance].could_answer(ticket.model)

    def _best(self, ticket: Ticket, weights: Mapping[str, float]) -> str | None:
        """The instance with the most weight, times the free share of its slots; ties fall at random."""
        best, ties = 0.0, list[str]()
        for name, room in sorted(self.capacities.items()):
            free = self.free(name)
            if free <= 0 or name in ticket.tried or not room.answers(ticket.model):
                continue
            score = weights.get(name, 1.0) * free / room.slots
            if score > best:
                best, ties = score, [name]
            elif score == best:
                ties.append(name)
        return ties[int(self.rng.random() * len(ties))] if ties else None

    def _check_room(self, ticket: Ticket) -> None:
        waiting = self.waiting()
        own = sum(entry.ticket.flow == ticket.flow for entry in self._queued())
        limit = self.queue_limit // 2 if ticket.priority == "batch" else self.queue_limit
        if waiting >= limit:
            raise PoolFull("too many requests are waiting")
        if own >= max(1, self.queue_limit // PER_FLOW):
            raise PoolFull("too many of your own requests are waiting")

    def _turn(self, flow: str) -> float:
        """When a flow may be served again, in virtual time."""
        return max(self._virtual, self._finish.get(flow, 0.0))

    def _expected_s(self, model: str) -> float:
        return self._mean_s.get(model, PRIOR_COST_S)

    def _entered(self, ticket: Ticket, now: float) -> Entry:
        batch = ticket.priority == "batch"
        tag, mean_s = ticket.tag, 0.0
        if tag is None:
            tag, mean_s = self._turn(ticket.flow), self._expected_s(ticket.model)
        cost = mean_s / (ticket.weight * (BATCH_WEIGHT if batch else 1.0))
        if cost:
            self._finish[ticket.flow] = tag + cost
        if batch:
            tag += BATCH_LAG * mean_s
        self._order += 1
        order = self._order if ticket.tag is None else 0
        entry = Entry(ticket, now + ticket.patience_s, tag, mean_s, cost, now, order)
        self.entries[ticket.id] = entry
        self._soonest = min(self._soonest, entry.until)
        self._live[ticket.flow] = self._live.get(ticket.flow, 0) + 1
        return entry

    def _seat(self, entry: Entry, instance: str, now: float) -> None:
        entry.instance, entry.since = instance, now
        self.held[instance][entry.ticket.id] = entry
        self._advance(entry.tag)

    def _fill(self, instance: str, now: float) -> list[Entry]:
        """Give the free slots of an instance to the first who may have them."""
        seated: list[Entry] = []
        room = self.capacities.get(instance)
        while room is not None and self.free(instance) > 0:
            first = min((e for m in list(self.queues) if (e := self._first(m, instance))), default=None)
            if first is None:
                break
            entry = self.entries[first[2]]
            self._unqueue(entry)
            self._seat(entry, instance, now)
            seated.append(entry)
        return seated

    def _first(self, model: str, instance: str) -> tuple[float, int, str] | None:
        if not self.capacities[instance].answers(model):
            return None
        waiting = self.queues[model]
        return next((w for w in waiting if instance not in self.entries[w[2]].ticket.tried), None)

    def _unqueue(self, entry: Entry) -> None:
        queue = self.queues[entry.ticket.model]
        queue.remove((*entry.key, entry.ticket.id))
        if not queue:
            del self.queues[entry.ticket.model]

    def _refund(self, entry: Entry) -> None:
        """Who leaves unserved is not charged."""
        self._charge(entry.ticket.flow, -entry.cost)

    def _learn(self, entry: Entry, held_s: float) -> None:
        model = entry.ticket.model
        mean_s = self._mean_s.get(model)
        self._mean_s[model] = held_s if mean_s is None else mean_s + MEAN_STEP * (held_s - mean_s)
        seen = self.durations.setdefault(model, [])
        seen.insert(0, held_s)
        del seen[DURATIONS_KEPT:]
        if entry.expected_s:
            self._charge(entry.ticket.flow, entry.cost * (held_s / entry.expected_s - 1))

    def _charge(self, flow: str, cost: float) -> None:
        """Correct what a flow has been charged; one whose turn has come again owes nothing."""
        if flow in self._finish:
            self._finish[flow] += cost

    def _advance(self, virtual: float) -> None:
        self._virtual = max(self._virtual, virtual)
        for flow in [flow for flow, finish in self._finish.items() if finish <= self._virtual]:
            del self._finish[flow]

    def _uncount(self, flow: str) -> None:
        self._live[flow] -= 1
        if not self._live[flow]:
            del self._live[flow]

    def _expired(self, entry: Entry, now: float) -> list[Entry]:
        if entry.instance is not None:
            return self.leave(entry.ticket.id, now)
        self._void(entry, DeadlineExceeded("no slot came free in time"))
        return [entry]

    def _void(self, entry: Entry, why: LibriError) -> None:
        self._unqueue(entry)
        self._refund(entry)
        entry.end = why

    def _void_hopeless(self) -> list[Entry]:
        hopeless = list(self._hopeless())
        for entry in hopeless:
            self._void(entry, NoInstance("no model server is available"))
        return hopeless

    def _hopeless(self) -> Iterator[Entry]:
        for entry in self._queued():
            if not any(self._could(name, entry.ticket) for name in self.capacities):
                yield entry

    def _queued(self) -> Iterable[Entry]:
        return [self.entries[ticket] for queue in self.queues.values() for _, _, ticket in queue]
