"""The simulation of machines and policies, against what can be worked out by hand."""

import random

import pytest

from loadtests.pool.arrivals import Arrival
from loadtests.pool.attempts import over_admitted
from loadtests.pool.choices import AtRandom, FreeSlot, InTurns, LeastLoaded
from loadtests.pool.idle import idleness
from loadtests.pool.machines import Machine, slots_of
from loadtests.pool.simulated import play
from loadtests.pool.tabled import play_table

TWO = (Machine("a", slots=2), Machine("b", slots=2))


def arrivals(count, every_s=0.0, model="llama3.1:8b", prompt=10):
    rng = random.Random(4)
    return [Arrival(n, every_s * n, prompt, rng.randint(5, 200), model, "s") for n in range(1, count + 1)]


async def test_one_request_takes_its_prompt_and_its_tokens():
    it = Arrival(1, 2.0, 650, 131, "llama3.1:8b", "s")
    (found,) = (await play([Machine("a")], [it], FreeSlot())).records
    assert found.arrived_s == 2.0
    assert found.first_token_s == pytest.approx(0.1)
    assert found.ended_s - found.first_s == pytest.approx(1.0)


async def test_a_faster_machine_is_faster_in_proportion():
    it = [Arrival(1, 0.0, 650, 131, "llama3.1:8b", "s")]
    one, ten = [(await play([Machine("a", speed=s)], it, FreeSlot())).records[0] for s in (1.0, 10.0)]
    assert one.ended_s == pytest.approx(10 * ten.ended_s)


async def test_full_slots_take_what_the_capacity_says():
    many = [Arrival(n, 0.0, 100, 100, "llama3.1:8b", "s") for n in range(1, 41)]
    played = await play(TWO, many, FreeSlot())
    ideal_s = 40 * TWO[0].request_s(100, 100) / 2
    assert max(r.ended_s for r in played.records) == pytest.approx(ideal_s, rel=0.03)


async def measured(choose, processes=1):
    played = await play(TWO, arrivals(120, every_s=0.2), choose, processes=processes)
    slots = slots_of(TWO)
    idle = idleness(played.records, played.attempts, slots, lambda _m, _i: True, (0.0, 20.0))
    return idle.usable / idle.total, over_admitted(played.attempts, slots), len(played.records)


async def test_one_queue_wastes_nothing_and_sends_nothing_too_early():
    assert await measured(FreeSlot()) == (0.0, 0, 120)


@pytest.mark.parametrize("choose", [InTurns(), AtRandom(random.Random(1)), LeastLoaded(random.Random(1))])
async def test_what_the_field_does_wastes_slots(choose):
    wasted, over, served = await measured(choose, processes=6)
    assert wasted > 0.01
    assert over > 10
    assert served == 120


async def test_a_machine_without_the_model_is_not_asked():
    machines = (Machine("a", models=("x",)), Machine("b", models=("x", "y")))
    played = await play(machines, arrivals(20, model="y"), FreeSlot())
    assert {a.instance for a in played.attempts} == {"b"}


async def test_our_queue_serves_everybody_and_tells_those_who_wait():
    played = await play_table(TWO, arrivals(12))
    assert len(played.records) == 12
    assert over_admitted(played.attempts, slots_of(TWO)) == 0
    waited = [r for r in played.records if r.told]
    assert sorted(r.told[0].position for r in waited) == list(range(1, 9))
    assert all(r.told[0].low_s <= r.told[0].high_s for r in waited)


async def test_our_queue_leaves_nothing_idle_that_one_line_would_use():
    ours, line = await play_table(TWO, arrivals(40, 0.1)), await play(TWO, arrivals(40, 0.1), FreeSlot())
    found = [
        idleness(p.records, p.attempts, slots_of(TWO), lambda model, machine: True, (0.0, 4.0))
        for p in (ours, line)
    ]
    assert found[0].usable == pytest.approx(found[1].usable, abs=1e-6)
