import asyncio
from contextlib import aclosing

import pytest

from backend.core.errors import (
    DeadlineExceeded,
    EngineError,
    EngineRejected,
    EngineTruncated,
    EngineUnreachable,
    NoInstance,
    PoolFull,
)
from backend.engines.base import End, Text
from backend.engines.scripted import Hold, ScriptedEngine, recite
from backend.pool.base import Assigned, Waiting
from backend.pool.memory import MemoryPool
from tests.support.asks import a_request, an_ask, an_instance
from tests.support.manual_clock import ManualClock


async def events_of(pool, **ask):
    return [event async for event in pool.generate(an_ask(**ask), a_request())]


def a_pool(*instances, clock=None, **options):
    return MemoryPool(instances, clock or ManualClock(), refresh_s=0.001, **options)


async def in_flight(pool):
    return [state.in_flight for state in pool.state()]


async def test_a_free_slot_is_assigned_at_once():
    pool = a_pool(an_instance(ScriptedEngine(recite("hi"))))
    events = await events_of(pool)
    assert events[0] == Assigned("one", "m", "scripted")
    assert events[1] == Text("hi")
    assert isinstance(events[-1], End)
    assert await in_flight(pool) == [0]


async def test_the_least_loaded_instance_is_chosen():
    release = asyncio.Event()
    engine = ScriptedEngine((Hold(release), End("stop")))
    pool = a_pool(an_instance(engine, "a", slots=4), an_instance(engine, "b", slots=2))
    streams = [pool.generate(an_ask(), a_request()) for _ in range(6)]
    chosen = [(await anext(stream)).instance for stream in streams]
    assert sorted(chosen) == ["a"] * 4 + ["b"] * 2
    assert chosen[:2] in (["a", "b"], ["b", "a"])
    for stream in streams:
        await stream.aclose()
    assert await in_flight(pool) == [0, 0]


async def test_who_waits_is_told_place_and_wait_and_is_served_in_order():
    release = asyncio.Event()
    pool = a_pool(an_instance(ScriptedEngine((Hold(release), Text("x"), End("stop")))))
    first, second, third = (pool.generate(an_ask(str(i)), a_request()) for i in range(3))
    assert isinstance(await anext(first), Assigned)
    assert (await anext(second)).position == 1
    waiting = await anext(third)
    assert waiting.position == 2
    assert 0 <= waiting.eta_s <= waiting.eta_high_s
    await first.aclose()
    assert isinstance(await anext(second), Assigned)
    assert (await anext(third)).position == 1
    await second.aclose()
    assert isinstance(await anext(third), Assigned)
    await third.aclose()


async def test_a_full_queue_refuses_and_says_when_to_come_back():
    pool = a_pool(an_instance(ScriptedEngine((Hold(asyncio.Event()),))), queue_limit=1)
    async with aclosing(pool.generate(an_ask(), a_request())) as running:
        await anext(running)
        async with aclosing(pool.generate(an_ask(), a_request())) as queued:
            assert isinstance(await anext(queued), Waiting)
            with pytest.raises(PoolFull) as refused:
                await events_of(pool)
            assert refused.value.retry_after_s >= 1
            assert pool.waiting() == 1
    assert pool.waiting() == 0


async def test_a_limit_of_zero_still_serves_who_need_not_wait():
    pool = a_pool(an_instance(ScriptedEngine(recite("hi"))), queue_limit=0)
    assert isinstance((await events_of(pool))[-1], End)


async def test_a_waiter_whose_deadline_passes_leaves_the_queue():
    clock = ManualClock()
    pool = a_pool(an_instance(ScriptedEngine((Hold(asyncio.Event()),))), clock=clock)
    async with aclosing(pool.generate(an_ask(), a_request())) as running:
        await anext(running)
        queued = pool.generate(an_ask(deadline=clock.monotonic() + 5), a_request())
        await anext(queued)
        clock.advance(6)
        with pytest.raises(DeadlineExceeded):
            await anext(queued)
        assert pool.waiting() == 0


async def test_a_generation_past_its_deadline_is_stopped_and_its_slot_freed():
    clock = ManualClock()
    engine = ScriptedEngine((Hold(asyncio.Event()),))
    pool = a_pool(an_instance(engine), clock=clock)
    with pytest.raises(DeadlineExceeded):
        await events_of(pool, deadline=clock.monotonic() + 0.001)
    assert await in_flight(pool) == [0]
    assert engine.cancelled == 1


async def test_a_failure_before_the_first_token_moves_on_silently():
    bad = ScriptedEngine((EngineUnreachable(),))
    good = ScriptedEngine(recite("hi"))
    pool = a_pool(an_instance(bad, "bad"), an_instance(good, "good"))
    events = await events_of(pool)
    assert [e.instance for e in events if isinstance(e, Assigned)] == ["bad", "good"]
    assert isinstance(events[-1], End)
    assert [s.health for s in pool.state()] == ["open", "closed"]
    assert pool.state()[0].reason == "engine_unreachable"


async def test_a_failure_after_the_first_token_is_passed_up():
    bad = ScriptedEngine((Text("a"), EngineTruncated()))
    pool = a_pool(an_instance(bad, "bad"), an_instance(ScriptedEngine(recite("hi")), "good"))
    stream = pool.generate(an_ask(), a_request())
    assert [await anext(stream), await anext(stream)] == [Assigned("bad", "m", "scripted"), Text("a")]
    with pytest.raises(EngineTruncated):
        await anext(stream)
    assert await in_flight(pool) == [0, 0]


async def test_a_stream_that_stops_without_end_is_a_failure():
    with pytest.raises(EngineTruncated):
        await events_of(a_pool(an_instance(ScriptedEngine((Text("a"),)))))


async def test_a_rejected_request_is_not_tried_elsewhere_and_blames_nobody():
    other = ScriptedEngine(recite("hi"))
    pool = a_pool(an_instance(ScriptedEngine((EngineRejected(),)), "a"), an_instance(other, "b"))
    with pytest.raises(EngineRejected):
        await events_of(pool)
    assert not other.requests
    assert pool.state()[0].health == "closed"


async def test_the_last_failure_is_raised_when_nobody_is_left():
    pool = a_pool(*(an_instance(ScriptedEngine((EngineUnreachable(),)), name) for name in "ab"))
    with pytest.raises(EngineUnreachable):
        await events_of(pool)
    with pytest.raises(NoInstance) as refused:
        await events_of(pool)
    assert refused.value.retry_after_s == pytest.approx(30)


async def test_an_instance_put_aside_is_tried_by_one_request_after_its_time():
    clock, release = ManualClock(), asyncio.Event()
    engine = ScriptedEngine((EngineUnreachable(),), (Hold(release), *recite("back")))
    pool = a_pool(an_instance(engine, slots=2), clock=clock)
    with pytest.raises(EngineError):
        await events_of(pool)
    clock.advance(31)
    assert pool.state()[0].health == "half_open"
    probe, other = (pool.generate(an_ask(n), a_request()) for n in "ab")
    assert isinstance(await anext(probe), Assigned)
    assert isinstance(await anext(other), Waiting)
    release.set()
    assert isinstance([event async for event in probe][-1], End)
    assert pool.state()[0].health == "closed"
    assert isinstance([event async for event in other][-1], End)


async def test_a_probe_that_fails_puts_the_instance_aside_again_and_who_waits_is_told():
    clock, release = ManualClock(), asyncio.Event()
    engine = ScriptedEngine((EngineUnreachable(),), (Hold(release), EngineError()))
    pool = a_pool(an_instance(engine), clock=clock)
    with pytest.raises(EngineError):
        await events_of(pool)
    clock.advance(31)
    probe, other = (pool.generate(an_ask(n), a_request()) for n in "ab")
    await anext(probe)
    await anext(other)
    release.set()
    with pytest.raises(EngineError):
        await anext(probe)
    with pytest.raises(NoInstance):
        await anext(other)


async def test_odd_prompts_cost_an_instance_only_after_three_in_a_row():
    pool = a_pool(an_instance(ScriptedEngine((EngineError(),))))
    for expected in ("closed", "closed", "open"):
        with pytest.raises(EngineError):
            await events_of(pool)
        assert pool.state()[0].health == expected


async def test_a_model_nobody_serves_is_refused():
    pool = a_pool(an_instance(ScriptedEngine(), models={"other"}))
    with pytest.raises(NoInstance):
        await events_of(pool)


async def test_a_waiter_for_a_busy_model_does_not_hold_up_another_model():
    pool = a_pool(
        an_instance(ScriptedEngine((Hold(asyncio.Event()),)), "x", models={"x"}),
        an_instance(ScriptedEngine(recite("hi")), "m", models={"m"}),
    )
    running, queued = (pool.generate(an_ask(), a_request(model="x")) for _ in range(2))
    await anext(running)
    await anext(queued)
    assert isinstance((await events_of(pool))[-1], End)
    await running.aclose()
    await queued.aclose()


async def test_a_cancelled_reader_gives_slot_and_place_back():
    engine = ScriptedEngine((Hold(asyncio.Event()),))
    pool = a_pool(an_instance(engine))
    tasks = [asyncio.ensure_future(events_of(pool)) for _ in range(3)]
    while not (engine.open and pool.waiting() == 2):
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (pool.waiting(), await in_flight(pool), engine.open) == (0, [0], 0)


async def test_models_are_those_of_the_servers_that_answer_and_kept_for_a_while():
    clock = ManualClock()
    down = ScriptedEngine(models=EngineUnreachable())
    up = ScriptedEngine(models=("a", "b"))
    pool = a_pool(an_instance(down, "d"), an_instance(up, "u"), clock=clock, models_ttl_s=5)
    assert await names_of(pool) == ["a", "b"]
    up._models = ("c",)
    assert await names_of(pool) == ["a", "b"]
    clock.advance(6)
    assert await names_of(pool) == ["c"]


async def test_a_server_that_does_not_say_what_is_loaded_offers_its_models_all_the_same():
    class Stalled(ScriptedEngine):
        async def loaded(self, endpoint):
            await asyncio.Event().wait()

    pool = a_pool(an_instance(Stalled(models=("a",))), models_timeout_s=0.05)
    assert [(model.info.name, model.loaded) for model in await pool.models()] == [("a", None)]


async def names_of(pool):
    return [model.info.name for model in await pool.models()]
