"""What the slots promise, in one process and shared through Redis; time is simulated in both."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack

import pytest

from backend.core.errors import DeadlineExceeded, NoInstance, PoolFull
from backend.infra.redis import open_redis
from backend.pool.fallback import FallbackSlots, Link
from backend.pool.slots.base import Capacity, Granted, Place, Slots, Ticket
from backend.pool.slots.memory import MemorySlots
from backend.pool.slots.redis import RedisSlots
from tests.support.manual_clock import ManualClock
from tests.support.redis_server import RedisServer, redis_server

Make = Callable[..., Awaitable[Slots]]
NUMBERS = itertools.count()


def ticket(flow: str = "ann", model: str = "m", **more) -> Ticket:
    return Ticket(f"t{next(NUMBERS)}", model, flow, more.pop("patience_s", 600.0), **more)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


async def shared_by(request: pytest.FixtureRequest, clock: ManualClock, stack: AsyncExitStack) -> Make:
    async def memory(**options) -> Slots:
        return MemorySlots(clock, **options)

    async def redis(**options) -> Slots:
        url = request.getfixturevalue("server").url
        client, listener = [await stack.enter_async_context(open_redis(url, timeout_s=30)) for _ in "ab"]
        await client.flushall()
        return RedisSlots(client, listener, clock, process="p", hold_s=0, clock_in_redis=False, **options)

    return memory if request.param == "memory" else redis


@pytest.fixture(params=["memory", "redis"])
async def make(request: pytest.FixtureRequest, clock: ManualClock) -> AsyncIterator[Make]:
    async with AsyncExitStack() as stack:
        yield await shared_by(request, clock, stack)


@pytest.fixture(params=["memory", "redis", "fallback"])
async def make_any(request: pytest.FixtureRequest, clock: ManualClock) -> AsyncIterator[Make]:
    """The fallback too: what a process does while the store that it shares with others is away."""
    async with AsyncExitStack() as stack:

        async def fallback(**options) -> Slots:
            url = request.getfixturevalue("server").url
            client, listener = [await stack.enter_async_context(open_redis(url, timeout_s=30)) for _ in "ab"]
            shared = RedisSlots(client, listener, clock, process="p")
            return FallbackSlots(shared, Link(is_up=False), clock, **options)

        yield fallback if request.param == "fallback" else await shared_by(request, clock, stack)


async def settled(slots: Slots, one: Ticket) -> Granted | Place:
    """Where a ticket stands once all notices are in."""
    if isinstance(slots, RedisSlots):
        await slots.beat()
    return await slots.wait(one.id, 0.001)


async def joined(slots: Slots, *tickets: Ticket) -> list[Granted | Place]:
    return [await slots.join(one, {}) for one in tickets]


async def order(slots: Slots, *tickets: Ticket) -> list[str]:
    """The flows of waiting tickets, in the order they are served one by one."""
    served, waiting, last = [], list(tickets), None
    while waiting:
        standing = [(one, await settled(slots, one)) for one in waiting]
        seated = [one for one, place in standing if isinstance(place, Granted)]
        for one in seated:
            waiting.remove(one)
            served.append(one.flow)
            await slots.leave(one.id, held_s=5.0)
        assert seated or last != waiting, "nobody is served"
        last = list(waiting)
    return served


async def test_a_free_slot_is_taken_at_once_and_never_twice(make: Make) -> None:
    slots = await make()
    await slots.put("a", Capacity(2))
    got = await joined(slots, *(ticket() for _ in range(3)))
    assert [type(one) for one in got] == [Granted, Granted, Place]
    assert len((await slots.view()).held_s["a"]) == 2


async def test_a_freed_slot_goes_to_the_first_who_waits(make: Make) -> None:
    slots = await make()
    await slots.put("a", Capacity(1))
    first, second, third = ticket("a"), ticket("b"), ticket("c")
    await joined(slots, first, second, third)
    assert (await settled(slots, third)).position == 2
    await slots.leave(first.id, held_s=1.0)
    assert (await settled(slots, second)).instance == "a"
    assert (await settled(slots, third)).position == 1


async def test_the_best_free_slot_is_chosen_by_weight_and_free_share(make: Make) -> None:
    slots = await make()
    await slots.put("fast", Capacity(4))
    await slots.put("slow", Capacity(4))
    chosen = [(await slots.join(ticket(), {"fast": 2.0, "slow": 1.0})).instance for _ in range(8)]
    assert chosen[:3] == ["fast", "fast", "fast"] or chosen[:2] == ["fast", "fast"]
    assert sorted(chosen) == ["fast"] * 4 + ["slow"] * 4
    assert chosen.index("slow") >= 2


async def test_a_flow_that_sends_much_does_not_delay_the_others(make: Make) -> None:
    slots = await make()
    await slots.put("a", Capacity(1))
    greedy = [ticket("greedy") for _ in range(5)]
    await joined(slots, *greedy)
    others = [ticket("bob"), ticket("eve")]
    await joined(slots, *others)
    await slots.leave(greedy[0].id, held_s=5.0)
    assert await order(slots, *greedy[1:], *others) == ["bob", "eve"] + ["greedy"] * 4


async def test_flows_of_equal_demand_are_served_in_turns(make: Make) -> None:
    slots = await make()
    await slots.put("a", Capacity(1))
    running = ticket("x")
    await slots.join(running, {})
    waiting = [ticket(flow) for flow in "aaabbb"]
    await joined(slots, *waiting)
    await slots.leave(running.id, held_s=5.0)
    assert sorted(await order(slots, *waiting), key=str)[:3] == ["a"] * 3
    waiting = [ticket(flow) for flow in "ccdd"]
    await slots.join(running := ticket("x"), {})
    await joined(slots, *waiting)
    await slots.leave(running.id)
    assert await order(slots, *waiting) == ["c", "d", "c", "d"]


async def test_a_flow_of_more_weight_is_served_more_often(make: Make) -> None:
    slots = await make()
    await slots.put("a", Capacity(1))
    running = ticket("x")
    await slots.join(running, {})
    waiting = [ticket("big", weight=3.0) for _ in range(6)] + [ticket("small") for _ in range(2)]
    await joined(slots, *waiting)
    await slots.leave(running.id)
    assert (await order(slots, *waiting))[:5].count("big") >= 3


async def test_a_continuation_keeps_its_turn(make: Make) -> None:
    slots = await make()
    await slots.put("a", Capacity(1))
    first = ticket("ann")
    tag = (await slots.join(first, {})).tag
    others = [ticket(flow) for flow in "bcd"]
    await joined(slots, *others)
    again = ticket("ann", tag=tag)
    await slots.join(again, {})
    await slots.leave(first.id)
    assert (await order(slots, again, *others))[0] == "ann"


async def test_batch_waits_behind_interactive_but_not_for_ever(make: Make) -> None:
    slots = await make()
    await slots.put("a", Capacity(1))
    running = ticket("x")
    await slots.join(running, {})
    batch = ticket("job", priority="batch")
    people = [ticket(f"p{n}") for n in range(4)]
    await joined(slots, batch, *people)
    await slots.leave(running.id, held_s=5.0)
    assert (await order(slots, batch, *people))[-1] == "job"

    await slots.join(running := ticket("x"), {})
    await slots.join(batch := ticket("job2", priority="batch"), {})
    for n in range(300):
        await slots.join(newcomer := ticket(f"n{n}"), {})
        await slots.leave(running.id, held_s=5.0)
        if isinstance(await settled(slots, batch), Granted):
            return
        running = newcomer
    raise AssertionError("it starved")


async def test_a_second_question_is_not_passed_for_ever_by_newcomers(make: Make) -> None:
    slots = await make()
    await slots.put("a", Capacity(1))
    running = ticket("ann")
    second = ticket("ann")
    await joined(slots, running, second)
    for n in range(100):
        await slots.join(newcomer := ticket(f"n{n}"), {})
        await slots.leave(running.id, held_s=5.0)
        if isinstance(await settled(slots, second), Granted):
            return
        running = newcomer
        await settled(slots, newcomer)
    raise AssertionError("it starved")


async def test_a_promoted_ticket_goes_before_batch(make: Make) -> None:
    slots = await make()
    await slots.put("a", Capacity(1))
    await slots.join(running := ticket("x"), {})
    jobs = [ticket(f"j{n}", priority="batch") for n in range(3)]
    await joined(slots, *jobs)
    await slots.promote(jobs[2].id)
    assert (await slots.view()).batch == 2
    await slots.leave(running.id)
    assert isinstance(await settled(slots, jobs[2]), Granted)


async def test_queue_flow_and_batch_have_bounds(make: Make) -> None:
    slots = await make(queue_limit=8)
    await slots.put("a", Capacity(1))
    await slots.join(running := ticket("x"), {})
    await joined(slots, ticket("ann"), ticket("ann"))
    with pytest.raises(PoolFull, match="own"):
        await slots.join(ticket("ann"), {})
    await joined(slots, ticket("b"), ticket("c"))
    with pytest.raises(PoolFull):
        await slots.join(ticket("job", priority="batch"), {})
    await joined(slots, *(ticket(flow) for flow in "defg"))
    with pytest.raises(PoolFull):
        await slots.join(ticket("h"), {})
    await slots.leave(running.id)
    await slots.join(ticket("h"), {})


async def test_a_place_is_told_before_it_is_taken(make: Make) -> None:
    slots = await make(queue_limit=16)
    with pytest.raises(NoInstance):
        await slots.peek(ticket())
    await slots.put("a", Capacity(1))
    assert await slots.peek(ticket()) == 0
    greedy = [ticket("greedy") for _ in range(3)]
    await joined(slots, *greedy)
    assert await slots.peek(ticket("greedy")) == 3
    assert await slots.peek(ticket("modest")) == 1, "who has asked nothing yet stands before the greedy one"
    assert await slots.peek(ticket("modest", priority="batch")) == 3
    assert (await slots.view()).waiting == {"m": 2}, "nothing was taken"
    full = await make(queue_limit=0)
    await full.put("a", Capacity(1))
    await joined(full, ticket())
    with pytest.raises(PoolFull):
        await full.peek(ticket())


async def test_an_instance_that_failed_a_request_does_not_get_it_again(make: Make) -> None:
    slots = await make()
    await slots.put("bad", Capacity(1))
    with pytest.raises(NoInstance):
        await slots.join(ticket(tried=frozenset({"bad"})), {})
    await slots.put("good", Capacity(1))
    assert (await slots.join(ticket(tried=frozenset({"bad"})), {})).instance == "good"
    waiting = ticket("ann", tried=frozenset({"bad"}))
    await slots.join(waiting, {})
    assert (await slots.join(ticket("bob"), {})).instance == "bad"
    assert (await settled(slots, waiting)).position == 1


async def test_who_waits_for_nothing_is_told(make: Make) -> None:
    slots = await make()
    await slots.put("a", Capacity(1))
    await slots.put("b", Capacity(1))
    await joined(slots, ticket("x"), ticket("x"))
    picky = ticket("ann", tried=frozenset({"b"}))
    easy = ticket("bob")
    await joined(slots, picky, easy)
    await slots.put("a", Capacity(0))
    with pytest.raises(NoInstance):
        await settled(slots, picky)
    assert isinstance(await settled(slots, easy), Place)
    await slots.remove("b")
    with pytest.raises(NoInstance):
        await settled(slots, easy)
    with pytest.raises(NoInstance):
        await slots.join(ticket("eve"), {})


async def test_a_model_that_is_not_loaded_is_waited_for(make: Make) -> None:
    slots = await make()
    await slots.put("a", Capacity(2, frozenset({"m"}), frozenset({"big"})))
    waiting = ticket(model="big")
    assert isinstance(await slots.join(waiting, {}), Place)
    assert isinstance(await slots.join(ticket(model="m"), {}), Granted)
    with pytest.raises(NoInstance):
        await slots.join(ticket(model="other"), {})
    assert (await slots.view()).waiting == {"big": 1}
    await slots.put("a", Capacity(2, frozenset({"m", "big"})))
    assert (await settled(slots, waiting)).instance == "a"
    assert (await slots.view()).waiting == {}


async def test_patience_ends_in_the_queue_and_on_a_slot(make: Make, clock: ManualClock) -> None:
    slots = await make()
    await slots.put("a", Capacity(1))
    short, waiting = ticket("a", patience_s=10), ticket("b", patience_s=5)
    await joined(slots, short, waiting, patient := ticket("c"))
    clock.advance(2)
    await settled(slots, patient)
    clock.advance(2)
    await settled(slots, patient)
    clock.advance(2)
    with pytest.raises(DeadlineExceeded):
        await settled(slots, waiting)
    await slots.leave(waiting.id)
    clock.advance(2)
    await settled(slots, patient)
    clock.advance(2.5)
    assert isinstance(await settled(slots, patient), Granted)


async def test_less_capacity_gives_out_nothing_until_there_is_room(make: Make) -> None:
    slots = await make()
    await slots.put("a", Capacity(2))
    held = [ticket("a"), ticket("b")]
    await joined(slots, *held, waiting := ticket("c"))
    await slots.put("a", Capacity(1))
    await slots.leave(held[0].id)
    assert isinstance(await settled(slots, waiting), Place)
    await slots.leave(held[1].id)
    assert isinstance(await settled(slots, waiting), Granted)


async def test_who_leaves_the_queue_is_gone_and_not_charged(make: Make) -> None:
    slots = await make()
    await slots.put("a", Capacity(1))
    await slots.join(running := ticket("x"), {})
    gone = [ticket("ann") for _ in range(3)]
    await joined(slots, *gone)
    for one in gone:
        await slots.leave(one.id)
        await slots.leave(one.id)
    await joined(slots, ann := ticket("ann"), bob := ticket("bob"))
    await slots.leave(running.id)
    assert await order(slots, bob, ann) == ["ann", "bob"]
    assert (await slots.view()).waiting == {}


async def test_the_view_tells_which_models_hold_the_slots(make: Make) -> None:
    slots = await make()
    await slots.put("a", Capacity(4))
    await slots.put("b", Capacity(1))
    both = {"a": 9.0}
    for model in ("small", "big", "small"):
        await slots.join(ticket(model=model), both)
    assert (await slots.view()).serving == {"a": {"small": 2, "big": 1}, "b": {}}


async def test_the_view_tells_how_long_generations_took_and_slots_are_held(
    make: Make, clock: ManualClock
) -> None:
    slots = await make()
    await slots.put("a", Capacity(1))
    await slots.join(running := ticket("x"), {})
    await slots.join(ticket("y"), {})
    clock.advance(2)
    view = await slots.view()
    assert view.held_s == {"a": [pytest.approx(2, abs=1e-3)]}
    assert view.oldest_s == {"m": pytest.approx(2, abs=1e-3)}
    await slots.leave(running.id, held_s=2.0)
    view = await slots.view()
    assert view.durations_s == {"m": (2.0,)}
    assert view.capacities == {"a": Capacity(1)}


async def test_a_full_queue_turns_nobody_away_who_was_let_in_before(make_any: Make) -> None:
    slots = await make_any(queue_limit=4)
    await slots.put("dies", Capacity(4))
    running = [ticket(f"r{n}") for n in range(4)]
    turns = [place.tag for place in await joined(slots, *running)]
    waiting = [ticket(f"w{n}") for n in range(4)]
    assert all(isinstance(place, Place) for place in await joined(slots, *waiting))
    with pytest.raises(PoolFull):
        await slots.join(ticket("new"), {})
    await slots.put("lives", Capacity(1))
    again = [
        ticket(one.flow, tag=tag, tried=frozenset({"dies"})) for one, tag in zip(running, turns, strict=True)
    ]
    for one in running:
        await slots.leave(one.id)
    await slots.put("dies", Capacity(0))
    await joined(slots, *again)
    for one in waiting:
        await slots.leave(one.id)
    assert sorted(await order(slots, *again)) == [one.flow for one in running], "all of them go on"


@pytest.mark.parametrize("sign", [{"tag": 0.0}, {"tried": frozenset({"other"})}, {"again": True}])
async def test_what_shows_that_a_ticket_returns(make_any: Make, sign: dict[str, object]) -> None:
    slots = await make_any(queue_limit=0)
    await slots.put("one", Capacity(1))
    await slots.join(ticket(), {})
    with pytest.raises(PoolFull):
        await slots.join(ticket(), {})
    assert isinstance(await slots.join(ticket(**sign), {}), Place)
    assert isinstance(await slots.join(ticket(priority="batch", **sign), {}), Place)


@pytest.mark.parametrize("priority", ["interactive", "batch"])
async def test_all_go_on_whose_instance_failed_while_the_queue_was_full(
    make_any: Make, priority: str
) -> None:
    """Of one greedy reader too: neither the bound of a flow nor that of a class counts for who returns."""
    slots = await make_any(queue_limit=2)
    await slots.put("dies", Capacity(8))
    running = [ticket("greedy", priority=priority) for _ in range(8)]
    turns = [place.tag for place in await joined(slots, *running)]
    waiting = ticket("modest")
    await slots.join(waiting, {})
    with pytest.raises(PoolFull):
        await joined(slots, *(ticket(f"other{n}") for n in range(3)))
    await slots.put("lives", Capacity(0, frozenset({"m"})))
    await slots.put("lives", Capacity(1))
    again = [ticket("greedy", priority=priority, tag=tag, tried=frozenset({"dies"})) for tag in turns]
    for one, next_one in zip(running, again, strict=True):
        await slots.leave(one.id)
        assert isinstance(await slots.join(next_one, {}), Granted | Place)
    await slots.put("dies", Capacity(0))
    await slots.leave(waiting.id)
    while again:
        seated = [one for one in again if isinstance(await settled(slots, one), Granted)]
        assert seated, "nobody is served"
        for one in seated:
            await slots.leave(one.id, held_s=1.0)
            again.remove(one)
