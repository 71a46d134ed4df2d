"""Slots, capacity and placement together, in simulated time: who is served, how often models are loaded."""

import itertools
from collections import Counter
from dataclasses import replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from backend.pool.capacity import Observed, capacities
from backend.pool.placement import loads
from backend.pool.preference import Profile, preferences
from backend.pool.slots.base import Ticket
from backend.pool.slots.table import SlotTable

TICK_S = 0.5
SETTLE_S = 60.0


class World:
    """Instances of two slots that hold one model each, and readers who ask again after each answer.

    Args:
        readers: Per model, how many there are.
        pause_s: Mean time between an answer and the next question.
        load_s: How long a load takes, after what runs has ended.
        answer_s: Mean time of a generation.
    """

    def __init__(self, instances, readers, *, seed, pause_s, load_s=5.0, answer_s=4.0):
        self.rng = Random(seed)
        self.table = SlotTable(512, self.rng)
        facts = Profile(models=tuple(readers), loaded=frozenset())
        self.known = {f"i{n}": Observed(slots=2, profile=facts) for n in range(instances)}
        self.pause_s, self.load_s, self.answer_s = pause_s, load_s, answer_s
        self.now, self.numbers = 0.0, itertools.count()
        self.readers = [f"{model}{n}" for model, many in readers.items() for n in range(many)]
        self.asks_at = {reader: self._after(pause_s) for reader in self.readers}
        self.joined, self.ends_at, self.loading_since = {}, {}, {}
        self.begun, self.waits_s, self.served = [], [], Counter()

    def run(self, seconds):
        until = self.now + seconds
        while self.now < until:
            self._answer()
            self._ask()
            self._load()
            self._decide()
            self._grant()
            self.now += TICK_S
        return self

    def longest_wait_s(self):
        return max(self.waits_s + [self.now - since for since in self.joined.values()], default=0.0)

    def _after(self, mean_s):
        return self.now + self.rng.expovariate(1 / mean_s)

    def _answer(self):
        for ticket in [t for t, end in self.ends_at.items() if end <= self.now]:
            entry = self.table.entries[ticket]
            self.table.leave(ticket, self.now, self.now - entry.since)
            del self.ends_at[ticket]
            self.served.update((entry.ticket.model, entry.ticket.flow))
            self.asks_at[entry.ticket.flow] = self._after(self.pause_s)

    def _ask(self):
        preferred = preferences({name: k.profile for name, k in self.known.items()}, "")
        for reader in [r for r, at in self.asks_at.items() if at <= self.now]:
            del self.asks_at[reader]
            ticket = Ticket(f"t{next(self.numbers)}", reader[0], reader, 1e6)
            self.joined[ticket.id] = self.now
            self._put()
            self.table.join(ticket, preferred, self.now)

    def _load(self):
        for name, one in self.known.items():
            if one.loading is None or self.table.held[name]:
                continue
            since = self.loading_since.setdefault(name, self.now)
            if self.now - since >= self.load_s:
                facts = replace(one.profile, loaded=one.profile.loaded - one.evicts | {one.loading})
                self.known[name] = replace(
                    one, profile=facts, loading=None, evicts=None, last_loaded_at=self.now, load_s=self.load_s
                )
                del self.loading_since[name]

    def _decide(self):
        seen = self.table.view(self.now)
        for name, one in self.known.items():
            if seen.held_s.get(name):
                self.known[name] = replace(one, used_at=dict.fromkeys(one.profile.loaded, self.now))
        for load in loads(self.known, seen, self.now, random=self.rng.random(), settle_s=SETTLE_S):
            one = self.known[load.instance]
            self.begun.append((self.now, load))
            self.known[load.instance] = replace(one, loading=load.model, evicts=load.evicts)
        self._put()

    def _put(self):
        for name, room in capacities(self.known, self.now).items():
            if self.table.capacities.get(name) != room:
                self.table.put(name, room, self.now)

    def _grant(self):
        for name, entries in self.table.held.items():
            for ticket, entry in entries.items():
                if ticket not in self.ends_at:
                    self.ends_at[ticket] = self.now + self.answer_s * self.rng.uniform(0.5, 1.5)
                    self.waits_s.append(self.now - self.joined.pop(ticket))
                    assert entry.ticket.model in self.known[name].profile.loaded


seeds = st.integers(0, 10_000)
load_times = st.sampled_from([2.0, 5.0, 20.0])
few = settings(max_examples=-(-settings.default.max_examples // 6))


@few
@given(seeds, load_times, st.integers(2, 9), st.integers(2, 9))
def test_two_models_on_three_instances_are_all_served_and_hardly_reloaded(seed, load_s, m, n):
    world = World(3, {"m": m, "n": n}, seed=seed, pause_s=4.0, load_s=load_s).run(900)
    assert len(world.begun) <= 2 * 900 / SETTLE_S
    assert world.longest_wait_s() < SETTLE_S + load_s
    assert min(world.served[reader] for reader in world.readers) > 0


@few
@given(seeds, st.integers(1, 3), st.integers(1, 3))
def test_where_every_model_has_its_instance_nothing_is_reloaded(seed, m, n):
    world = World(3, {"m": m, "n": n}, seed=seed, pause_s=8.0).run(900)
    assert 2 <= len(world.begun) <= 4, "who comes first may be given all instances, and has to give one up"
    assert sum(bool(load.evicts) for _, load in world.begun) <= 1
    assert world.longest_wait_s() < 30


@few
@given(seeds, load_times, st.integers(4, 9), st.integers(4, 9))
def test_two_models_in_steady_demand_share_one_instance_in_turns(seed, load_s, m, n):
    world = World(1, {"m": m, "n": n}, seed=seed, pause_s=0.1, load_s=load_s).run(900)
    models = [load.model for _, load in world.begun]
    assert all(one != other for one, other in itertools.pairwise(models))
    turns = [later[0] - earlier[0] for earlier, later in itertools.pairwise(world.begun)]
    drain_s = 1.5 * world.answer_s
    assert SETTLE_S + load_s <= min(turns)
    assert max(turns) <= SETTLE_S + load_s + drain_s + 4 * TICK_S
    assert min(world.served[reader] for reader in world.readers) > 0


@few
@given(seeds, load_times, st.integers(1, 4), st.integers(2, 4), st.integers(1, 3))
def test_more_models_than_instances_starve_nobody(seed, load_s, each, models, instances):
    readers = dict.fromkeys("mnop"[:models], each)
    world = World(instances, readers, seed=seed, pause_s=10.0, load_s=load_s).run(900)
    turn_s = SETTLE_S + load_s + 10
    assert world.longest_wait_s() < turn_s * models
    assert len(world.begun) <= sum(world.served[model] for model in readers) + len(world.joined)
