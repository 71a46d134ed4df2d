"""No order of events over-admits, loses a waiter, leaves a slot free in vain or starves anybody."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from random import Random

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis.asyncio import Redis

from backend.core.errors import DeadlineExceeded, NoInstance, PoolFull
from backend.pool.slots.base import Capacity, Granted, Place, Slots, Ticket
from backend.pool.slots.memory import MemorySlots
from backend.pool.slots.redis import RedisSlots
from tests.support.manual_clock import ManualClock
from tests.support.redis_server import RedisServer, redis_server

MODELS = ("m", "n")
NAMES = ("a", "b", "c")
FLOWS = tuple("uvwxyz")
LIMIT = 24


class SlotsMachine(RuleBasedStateMachine):
    """Two processes, three instances, two models, six flows; time moves when a rule moves it."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock(1000.0)
        self.numbers = itertools.count()
        self.rows: dict[str, Capacity] = {}
        self.tickets: dict[str, Ticket] = {}
        self.of: dict[str, Slots] = {}
        self.standing: dict[str, Granted | Place] = {}
        self.processes: list[Slots] = self.run(self.open())

    def run(self, work):
        return self.loop.run_until_complete(work)

    async def open(self) -> list[Slots]:
        if not self.url:
            return [MemorySlots(self.clock, queue_limit=LIMIT, rng=Random(0))]
        self.clients = [Redis.from_url(self.url, decode_responses=True) for _ in "ab"]
        await self.clients[0].flushall()
        return [
            RedisSlots(
                client, client, self.clock,
                process=f"p{n}", queue_limit=LIMIT, hold_s=0, clock_in_redis=False,
            )
            for n, client in enumerate(self.clients)
        ]  # fmt: skip

    def teardown(self) -> None:
        for client in getattr(self, "clients", ()):
            self.run(client.aclose())
        self.loop.close()

    @initialize()
    def an_instance_that_is_busy(self) -> None:
        self.put("a", 1, frozenset({"m"}))
        for flow in "uv":
            self.join(flow, "m", False, 0, frozenset(), 1.0)

    @rule(
        flow=st.sampled_from(FLOWS), model=st.sampled_from(MODELS), batch=st.booleans(),
        process=st.integers(0, 1),
        tried=st.sets(st.sampled_from(NAMES), max_size=1), weight=st.sampled_from([0.5, 1.0, 2.0]),
    )  # fmt: skip
    def join(self, flow, model, batch, process, tried, weight) -> None:
        slots = self.processes[process % len(self.processes)]
        one = Ticket(
            f"t{next(self.numbers)}",
            model,
            flow,
            300.0,
            "batch" if batch else "interactive",
            weight,
            frozenset(tried),
        )
        possible = any(r.could_answer(model) for name, r in self.rows.items() if name not in tried)
        told = self.peek(slots, one) if not tried else None
        try:
            self.standing[one.id] = self.run(slots.join(one, {"a": 2.0}))
        except NoInstance:
            assert not possible
            assert told in (NoInstance, None)
        except PoolFull:
            assert possible
            assert told in (PoolFull, None)
        else:
            assert possible
            assert told in (getattr(self.standing[one.id], "position", 0), None), "what was told comes true"
            self.tickets[one.id], self.of[one.id] = one, slots

    def peek(self, slots: Slots, one: Ticket) -> int | type[Exception]:
        try:
            return self.run(slots.peek(one))
        except (NoInstance, PoolFull) as exc:
            return type(exc)

    @precondition(lambda self: self.tickets)
    @rule(data=st.data(), took=st.one_of(st.none(), st.floats(0.1, 60)))
    def leave(self, data, took) -> None:
        one = data.draw(st.sampled_from(sorted(self.tickets)))
        granted = isinstance(self.standing[one], Granted)
        self.run(self.of[one].leave(one, held_s=took if granted else None))
        self.forget(one)

    @rule(name=st.sampled_from(NAMES), capacity=st.integers(0, 3), ready=st.sets(st.sampled_from(MODELS)))
    def put(self, name, capacity, ready) -> None:
        self.rows[name] = Capacity(capacity, frozenset(ready), frozenset(MODELS) - ready)
        self.run(self.processes[0].put(name, self.rows[name]))

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def remove(self, data) -> None:
        name = data.draw(st.sampled_from(sorted(self.rows)))
        del self.rows[name]
        self.run(self.processes[0].remove(name))

    @precondition(lambda self: self.tickets)
    @rule(data=st.data())
    def promote(self, data) -> None:
        one = data.draw(st.sampled_from(sorted(self.tickets)))
        self.run(self.of[one].promote(one))

    @rule(seconds=st.sampled_from([0.3, 1.0, 2.0]))
    def time_passes(self, seconds) -> None:
        self.clock.advance(seconds)
        self.settle()

    def forget(self, one: str) -> None:
        for known in (self.tickets, self.of, self.standing):
            known.pop(one)

    def settle(self) -> None:
        """What every waiting ticket learns; the living give signs of life and claim what they get."""
        for slots in self.processes:
            if isinstance(slots, RedisSlots):
                self.run(slots.beat())
        for one in sorted(self.tickets):
            try:
                self.standing[one] = self.run(self.of[one].wait(one, 0.0001 if self.url else 0))
            except (NoInstance, DeadlineExceeded):
                self.run(self.of[one].leave(one))
                self.forget(one)

    @invariant()
    def the_promises_hold(self) -> None:
        before = {one: standing for one, standing in self.standing.items() if isinstance(standing, Granted)}
        self.settle()
        for one, standing in before.items():
            if one in self.standing:
                assert self.standing[one] == standing, "a slot taken stays taken"
        waiting = {one for one, standing in self.standing.items() if isinstance(standing, Place)}
        view = self.run(self.processes[0].view())
        assert sum(view.waiting.values()) == len(waiting), "nobody is lost"
        for name, row in self.rows.items():
            held = [s for s in self.standing.values() if isinstance(s, Granted) and s.instance == name]
            assert len(view.held_s.get(name, ())) == len(held), "the slots held are those of tickets"
            if len(held) < row.slots:
                for one in waiting:
                    ticket = self.tickets[one]
                    assert name in ticket.tried or not row.answers(ticket.model), "no slot is free in vain"

    @precondition(lambda self: any(isinstance(s, Place) for s in self.standing.values()))
    @rule()
    def nobody_starves(self) -> None:
        """With all instances at work, whoever waits is served though newcomers never cease."""
        for name in NAMES:
            self.put(name, 2, frozenset(MODELS))
        self.settle()
        waiting = [one for one, standing in self.standing.items() if isinstance(standing, Place)]
        rounds = 0
        while any(isinstance(self.standing.get(one), Place) for one in waiting):
            rounds += 1
            assert rounds < 3000, "it starved"
            seated = [one for one, standing in self.standing.items() if isinstance(standing, Granted)]
            self.run(self.of[seated[0]].leave(seated[0], held_s=5.0))
            self.forget(seated[0])
            self.join(f"new{rounds}", MODELS[rounds % 2], False, rounds, frozenset(), 1.0)
            self.settle()

    @invariant()
    def over_admission_is_only_what_was_taken_before(self) -> None:
        for name, row in self.rows.items():
            held = sum(isinstance(s, Granted) and s.instance == name for s in self.standing.values())
            peak = getattr(self, "peak", {}).get(name, 0)
            self.peak = {**getattr(self, "peak", {}), name: max(row.slots, min(peak, held))}
            assert held <= self.peak[name]


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


def test_no_order_of_events_breaks_a_promise_in_one_process() -> None:
    run_state_machine_as_test(
        SlotsMachine,
        settings=settings(
            max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def test_no_order_of_events_breaks_a_promise_shared_through_redis(server: RedisServer) -> None:
    class Shared(SlotsMachine):
        url = server.url

    run_state_machine_as_test(
        Shared,
        settings=settings(
            max_examples=50, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
