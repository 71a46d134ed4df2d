"""The port of the slots: a ticket takes one, or a place in the fair queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

Priority = Literal["interactive", "batch"]

ANY_MODEL = "*"


@dataclass(frozen=True, slots=True)
class Ticket:
    """One request for a slot.

    Attributes:
        id: Unique among all tickets of all processes; a continuation comes with a new one.
        flow: Whom fairness is counted for.
        patience_s: Seconds after which nobody wants the answer; bounds both the wait and the lease.
        weight: Share of this flow beside others' 1.
        tried: Instances that failed this request.
        tag: Place in virtual time that an earlier ticket of the same request had; keeps its turn.
        again: It was let in before, where there is no virtual time that its `tag` would be of.
    """

    id: str
    model: str
    flow: str
    patience_s: float
    priority: Priority = "interactive"
    weight: float = 1.0
    tried: frozenset[str] = frozenset()
    tag: float | None = None
    again: bool = False

    @property
    def returns(self) -> bool:
        """Whether its request was let in before: no bound of the queue turns it away."""
        return self.again or self.tag is not None or bool(self.tried)


@dataclass(frozen=True, slots=True)
class Granted:
    """A slot of `instance` is taken."""

    instance: str
    tag: float


@dataclass(frozen=True, slots=True)
class Place:
    """In the queue: 1 is next among those who wait for the same model."""

    position: int
    tag: float


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the slots know of one instance.

    Attributes:
        slots: Given out now: none while the instance is avoided or drained, one to try it.
        ready: Models it answers at once; `ANY_MODEL` stands for all.
        cold: Models it could load first. No slot is given for them, but their tickets may wait.
    """

    slots: int
    ready: frozenset[str] = frozenset({ANY_MODEL})
    cold: frozenset[str] = frozenset()

    def answers(self, model: str) -> bool:
        """Whether a slot may be given for `model`."""
        return model in self.ready or ANY_MODEL in self.ready

    def could_answer(self, model: str) -> bool:
        """Whether waiting here for `model` makes sense."""
        return self.slots > 0 and (self.answers(model) or model in self.cold)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All slots at one moment.

    Attributes:
        held_s: Per instance, seconds since each of its slots was taken.
        serving: Per instance, how many of its slots each model has.
        waiting: Tickets in the queue, per model; `batch`: how many of them all have that priority.
        durations_s: Per model, how long the latest generations held their slots, the newest first.
        processes: Processes that share the slots.
        oldest_s: Per model, how long the first in the queue has waited.
        shared: The store that processes share answers.
    """

    capacities: Mapping[str, Capacity] = field(default_factory=dict)
    held_s: Mapping[str, Sequence[float]] = field(default_factory=dict)
    serving: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    waiting: Mapping[str, int] = field(default_factory=dict)
    batch: int = 0
    durations_s: Mapping[str, Sequence[float]] = field(default_factory=dict)
    oldest_s: Mapping[str, float] = field(default_factory=dict)
    processes: int = 1
    shared: bool = True


class Slots(Protocol):
    """Slots of all instances. No slot is held twice; none is free while a ticket waits that may have it.

    Who waits is ordered by start-time fair queueing over flows; batch tickets start later and weigh less.
    A process that falls silent loses its slots and places within seconds. All methods may raise
    `SlotsUnavailable` where the store that is shared does not answer in time.
    """

    async def join(self, ticket: Ticket, weights: Mapping[str, float]) -> Granted | Place:
        """Take the best free slot, or a place in the queue.

        Args:
            ticket: Never seen before.
            weights: How much each instance is to be preferred; 1 where it is not named. The free share
                of its slots counts besides.

        Raises:
            PoolFull: The queue holds its bound; never for a ticket that returns.
            NoInstance: No instance could answer this ticket.
        """

    async def peek(self, ticket: Ticket) -> int:
        """The place that `join` would give a new ticket at this moment, 0 for a slot; nothing is taken.

        Raises:
            PoolFull, NoInstance: As `join` would.
        """

    async def wait(self, ticket: str, timeout_s: float) -> Granted | Place:
        """The slot once it is granted; the place as it is after `timeout_s`.

        Raises:
            NoInstance: Nothing that could answer is left; the ticket is void.
            DeadlineExceeded: Its patience is over; the ticket is void.
        """

    async def leave(self, ticket: str, *, held_s: float | None = None) -> None:
        """Give back the slot or the place; a void ticket is no error. The next waiter gets the slot.

        Args:
            ticket: Its id.
            held_s: How long a generation that came to its end held the slot; None if it did not.
        """

    async def promote(self, ticket: str) -> None:
        """Let a batch ticket wait as an interactive one from now on."""

    async def put(self, instance: str, room: Capacity) -> None:
        """Add an instance, or change what is known of it."""

    async def remove(self, instance: str) -> None:
        """Forget an instance; who holds a slot of it keeps it to the end."""

    async def view(self) -> Snapshot:
        """All of it, as it is."""


class SharedSlots(Slots, Protocol):
    """Slots in a store that several processes share, and that may be away or come back empty."""

    async def beat(self) -> None:
        """Give a sign of life, and set right what the store and this process think of each other."""

    async def adopt(self, ticket: Ticket, instance: str, since_s: float) -> None:
        """Count a slot that was taken `since_s` seconds ago, while the store was away."""

    def forget(self, ticket: str) -> None:
        """Leave without telling the store now; the next sign of life does."""
