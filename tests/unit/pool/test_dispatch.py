"""A request's way through the pool, over engines that follow a script."""

import asyncio
from contextlib import aclosing, suppress

import pytest

from backend.core.errors import (
    Conflict,
    DeadlineExceeded,
    EngineError,
    EngineRejected,
    EngineTimeout,
    EngineTruncated,
    EngineUnreachable,
    ModelMissing,
    NoInstance,
    NotFound,
    PoolFull,
)
from backend.core.instances import InstanceSpec
from backend.engines.base import End, Text, Thought
from backend.engines.scripted import Hold, ScriptedEngine, recite
from backend.pool.base import Assigned, Restarted, Waiting
from backend.pool.retries import RetryBudget
from backend.pool.slots.memory import MemorySlots
from tests.support.asks import an_ask, an_instance
from tests.support.manual_clock import ManualClock
from tests.support.pool import a_pool


def engine(*scripts, models=("m",)) -> ScriptedEngine:
    return ScriptedEngine(*scripts, models=models)


def busy() -> ScriptedEngine:
    return engine((Hold(asyncio.Event()), End("stop")))


def said(events) -> str:
    """The answer as a reader sees it in the end."""
    text = ""
    for event in events:
        text = "" if isinstance(event, Restarted) else text + (event.text if isinstance(event, Text) else "")
    return text


def assigned(events) -> list[str]:
    return [event.instance for event in events if isinstance(event, Assigned)]


async def test_a_free_slot_is_assigned_at_once():
    async with a_pool(an_instance(engine(recite("hi")))) as it:
        events = await it.events()
        assert events[0] == Assigned("one", "m", "scripted")
        assert events[1] == Text("hi")
        assert isinstance(events[-1], End)
        assert await it.in_flight() == [0]


async def test_the_least_loaded_instance_is_chosen():
    async with a_pool(an_instance(busy(), "a", slots=4), an_instance(busy(), "b", slots=2)) as it:
        streams = [it.ask(str(n)) for n in range(6)]
        chosen = [(await anext(stream)).instance for stream in streams]
        assert sorted(chosen) == ["a"] * 4 + ["b"] * 2
        assert set(chosen[:2]) == {"a", "b"}
        for stream in streams:
            await stream.aclose()
        assert await it.in_flight() == [0, 0]


async def test_who_waits_is_told_place_and_wait_and_is_served_in_order():
    async with a_pool(an_instance(busy())) as it:
        first, second, third = (it.ask(str(n)) for n in range(3))
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
    async with a_pool(an_instance(busy()), queue_limit=1) as it, aclosing(it.ask("a")) as running:
        await anext(running)
        async with aclosing(it.ask("b")) as queued:
            assert isinstance(await anext(queued), Waiting)
            with pytest.raises(PoolFull) as refused:
                await it.events("c")
            assert refused.value.retry_after_s >= 1
            assert await it.waiting() == 1
        assert await it.waiting() == 0


async def test_who_will_be_refused_is_told_so_before_anything_is_spent_on_it():
    async with a_pool(an_instance(busy()), queue_limit=1) as it:
        await it.pool.admit(an_ask("a"), "m")
        async with aclosing(it.ask("a")) as running, aclosing(it.ask("b")) as queued:
            await anext(running)
            await it.pool.admit(an_ask("b"), "m")
            await anext(queued)
            with pytest.raises(PoolFull) as refused:
                await it.pool.admit(an_ask("c"), "m")
            assert refused.value.retry_after_s >= 1
            assert await it.waiting() == 1, "asking takes no place"
            await it.pool.admit(an_ask("c"), "a model that nobody serves")


async def test_who_might_wait_too_long_is_not_even_admitted_unless_it_stands_in_front():
    async with a_pool(an_instance(busy()), max_wait_s=60.0) as it:
        greedy = [it.ask(str(n), subject="greedy") for n in range(6)]
        for events in greedy:
            with suppress(PoolFull):
                await anext(events)
            await it.controller.tick()
        with pytest.raises(PoolFull) as refused:
            await it.pool.admit(an_ask("g", subject="greedy"), "m")
        assert refused.value.retry_after_s >= 1
        await it.pool.admit(an_ask("h", subject="modest"), "m")
        with pytest.raises(DeadlineExceeded):
            await it.pool.admit(an_ask("h", deadline=0.0), "m")
        for events in greedy:
            await events.aclose()


async def test_a_queue_that_is_full_in_mid_wait_says_when_to_come_back_too():
    class Fills(MemorySlots):
        async def wait(self, ticket, timeout_s):
            raise PoolFull("too many requests are waiting")

    async with a_pool(an_instance(busy()), kind=Fills) as it, aclosing(it.ask("a")) as running:
        await anext(running)
        with pytest.raises(PoolFull) as refused:
            await it.events("b")
        assert refused.value.retry_after_s >= 1
        assert await it.waiting() == 0


async def test_a_wait_that_would_outlast_the_request_is_refused_at_once():
    clock = ManualClock()
    script = (Text("a"), End("stop"))
    async with a_pool(an_instance(engine(script, script, (Hold(asyncio.Event()),))), clock=clock) as it:
        for _ in range(2):
            async with aclosing(it.ask()) as events:
                async for event in events:
                    if isinstance(event, Text):
                        clock.advance(100)
        await it.controller.tick()
        async with aclosing(it.ask("long")) as running:
            await anext(running)
            await it.controller.tick()
            with pytest.raises(PoolFull) as refused:
                await it.events("hurried", deadline=clock.monotonic() + 1)
            assert refused.value.retry_after_s > 1
            assert await it.waiting() == 0


async def test_who_might_wait_too_long_is_told_at_once_when_to_come_back():
    async with a_pool(an_instance(busy()), max_wait_s=5.0) as it, aclosing(it.ask("a")) as running:
        await anext(running)
        with pytest.raises(PoolFull) as refused:
            await it.events("b")
        assert refused.value.retry_after_s >= 1
        assert await it.waiting() == 0


async def test_who_was_let_in_and_lost_its_instance_may_wait_longer():
    fails, other = engine((Text("a"), EngineUnreachable())), busy()
    async with (
        a_pool(an_instance(other, "two"), an_instance(fails, "one"), max_wait_s=5.0) as it,
        aclosing(it.ask("a")) as first,
        aclosing(it.ask("b")) as second,
    ):
        seen = [await anext(first), await anext(second)]
        moved = first if seen[0].instance == "one" else second
        assert [type(await anext(moved)), type(await anext(moved))] == [Text, Waiting]


async def test_who_was_let_in_and_lost_its_instance_is_not_refused_by_a_full_queue():
    release = asyncio.Event()
    fails = engine((Text("a"), Hold(release), EngineUnreachable()))
    async with a_pool(an_instance(fails, "one", slots=3), queue_limit=0) as it:
        streams = [it.ask(f"{n}", subject=f"{n}") for n in range(3)]
        for stream in streams:
            assert [type(await anext(stream)), type(await anext(stream))] == [Assigned, Text]
        await it.operator.add(InstanceSpec("two", "ollama", "http://two", slots=1))
        async with aclosing(it.ask("holds", subject="other")) as holds:
            await anext(holds)
            release.set()
            for stream in streams:
                assert isinstance(await anext(stream), Waiting)
        for stream in streams:
            await stream.aclose()


async def test_a_waiter_whose_deadline_passes_leaves_the_queue():
    clock = ManualClock()
    async with a_pool(an_instance(busy()), clock=clock) as it, aclosing(it.ask("a")) as running:
        await anext(running)
        queued = it.ask("b", deadline=clock.monotonic() + 50)
        await anext(queued)
        clock.advance(51)
        with pytest.raises(DeadlineExceeded):
            await anext(queued)
        assert await it.waiting() == 0


async def test_a_request_whose_deadline_has_passed_never_reaches_a_model():
    clock, one = ManualClock(), engine(recite("hi"))
    async with a_pool(an_instance(one), clock=clock) as it:
        with pytest.raises(DeadlineExceeded):
            await it.events(deadline=clock.monotonic())
        assert not one.requests


async def test_a_generation_past_its_deadline_is_stopped_and_its_slot_freed():
    clock, one = ManualClock(), busy()
    async with a_pool(an_instance(one), clock=clock) as it:
        with pytest.raises(DeadlineExceeded):
            await it.events(deadline=clock.monotonic() + 0.001)
        assert await it.in_flight() == [0]
        assert one.cancelled == 1


def twins(*scripts, **more):
    """Two instances of one engine: whichever is asked first plays the first script, the other the next."""
    both = engine(*scripts)
    return both, a_pool(an_instance(both, "a"), an_instance(both, "b"), **more)


async def test_a_failure_before_the_first_token_moves_on_silently():
    _, pool = twins((EngineUnreachable(),), recite("hi"))
    async with pool as it:
        events = await it.events()
        assert sorted(assigned(events)) == ["a", "b"]
        assert said(events) == "hi"
        assert sorted(await it.health()) == ["closed", "open"]
        assert (await it.instance(assigned(events)[0])).reason == "engine_unreachable"
        assert await it.in_flight() == [0, 0]


async def test_after_the_first_token_another_instance_goes_on_from_the_text_so_far():
    both, pool = twins((Text("The library opens "), EngineTruncated()), recite("The library opens at nine."))
    async with pool as it:
        events = await it.events()
        assert sorted(assigned(events)) == ["a", "b"]
        assert said(events) == "The library opens at nine."
        assert not any(isinstance(event, Restarted) for event in events)
        assert both.requests[1][1].partial == "The library opens "
        assert both.requests[1][1].sampling == both.requests[0][1].sampling, "it bounds the whole answer"
        assert both.requests[1][1].spent.on(len("The library opens ")) == 2


async def test_what_cannot_be_gone_on_with_is_withdrawn_and_said_anew():
    _, pool = twins((Text("It was Zola who"), EngineTruncated()), recite("Nobody knows."))
    async with pool as it:
        events = await it.events()
        assert said(events) == "Nobody knows."
        assert sum(isinstance(event, Restarted) for event in events) == 1


async def test_an_answer_that_broke_off_in_mid_thought_is_thought_anew():
    both, pool = twins((Thought("hm"), EngineTruncated()), (Thought("ah"), *recite("Six.")))
    async with pool as it:
        events = await it.events()
        kinds = [type(event) for event in events if not isinstance(event, Assigned | End)]
        assert kinds == [Thought, Restarted, Thought, Text]
        assert both.requests[1][1].partial == ""


async def test_a_continuation_waits_before_those_who_came_later():
    release = asyncio.Event()
    _, pool = twins(
        (Hold(release), Text("The library "), EngineTruncated()),
        recite("The library opens."),
    )
    async with pool as it:
        first, blocker, later = it.ask("first"), it.ask("blocker"), it.ask("later")
        one, other = await anext(first), await anext(blocker)
        assert isinstance(await anext(later), Waiting)
        release.set()
        assert await anext(first) == Text("The library ")
        waits = await anext(first)
        assert isinstance(waits, Waiting)
        assert waits.position == 1, "its own instance is avoided for it, the other is busy"
        assert (await anext(later)).instance == one.instance
        await blocker.aclose()
        events = [event async for event in first]
        assert assigned(events) == [other.instance]
        assert said(events) == "opens."
        await later.aclose()


async def test_a_stream_that_stops_without_end_is_a_failure():
    async with a_pool(an_instance(engine((Text("a"),)))) as it:
        with pytest.raises(EngineTruncated):
            await it.events()


async def test_a_slot_is_free_before_its_reader_hears_of_the_end():
    async with a_pool(an_instance(engine(recite("hi")))) as it, aclosing(it.ask()) as events:
        async for event in events:
            assert await it.in_flight() == [0 if isinstance(event, End) else 1]
        assert isinstance(event, End)


async def test_a_rejected_request_is_not_tried_elsewhere_and_blames_nobody():
    both, pool = twins((EngineRejected(),), recite("hi"))
    async with pool as it:
        with pytest.raises(EngineRejected):
            await it.events()
        assert len(both.requests) == 1
        assert await it.health() == ["closed", "closed"]


async def test_a_server_without_the_model_is_passed_over_and_not_blamed():
    _, pool = twins((ModelMissing(),), recite("hi"))
    async with pool as it:
        assert said(await it.events()) == "hi"
        assert await it.health() == ["closed", "closed"]


async def test_the_last_failure_is_raised_when_nobody_is_left():
    async with a_pool(*(an_instance(engine((EngineTimeout(),)), name) for name in "ab")) as it:
        with pytest.raises(EngineTimeout):
            await it.events()
        with pytest.raises(NoInstance) as refused:
            await it.events()
        assert 20 <= refused.value.retry_after_s <= 40


async def test_who_finds_nobody_left_is_told_when_to_come_back():
    one = engine((EngineUnreachable(),), (EngineUnreachable(),))
    async with a_pool(an_instance(one)) as it:
        with pytest.raises(EngineUnreachable) as failed:
            await it.events("a")
        assert failed.value.retry_after_s > 0
        await it.controller.failed("one", EngineTimeout())
        with pytest.raises(NoInstance) as refused:
            await it.events("b")
        assert refused.value.retry_after_s > 0


async def test_who_failed_everywhere_is_told_when_to_come_back_though_no_instance_is_avoided_yet():
    breaks = engine((EngineTruncated(),))
    async with a_pool(an_instance(breaks, "one"), an_instance(breaks, "two")) as it:
        with pytest.raises(EngineTruncated) as failed:
            await it.events()
        assert await it.health() == ["closed", "closed"]
        assert failed.value.retry_after_s >= 1


async def test_retries_keep_to_their_budget():
    both = engine((EngineError(),))
    budget = RetryBudget(share=0.0, floor=3)
    async with a_pool(*(an_instance(both, name) for name in "abcd"), retries=budget) as it:
        for _ in range(2):
            with pytest.raises(EngineError) as failed:
                await it.events()
        assert len(both.requests) == 2 + 3
        assert failed.value.retry_after_s >= 1, "though none of them is avoided"


@pytest.mark.parametrize(
    ("first", "phase"),
    [
        ((EngineUnreachable(),), "before_first_token"),
        ((Text("The library "), EngineTruncated()), "after"),
        ((Thought("hm"), EngineTruncated()), "after"),
    ],
)
async def test_a_retry_is_told_with_what_the_reader_had_seen_by_then(first, phase):
    told = []
    _, pool = twins(first, recite("The library opens."), retried=told.append)
    async with pool as it:
        await it.events()
        assert told == [phase]
        await it.events()
        assert told == [phase], "nothing failed this time"


async def test_a_failure_that_nobody_else_can_make_good_is_no_retry():
    told = []
    async with a_pool(an_instance(engine((EngineUnreachable(),))), retried=told.append) as it:
        with pytest.raises(EngineUnreachable):
            await it.events()
        assert told == []


async def test_an_instance_that_failed_comes_back_by_a_probe_and_not_by_a_reader():
    clock = ManualClock()
    one = engine((EngineTimeout(),), recite("ping"), recite("back"))
    async with a_pool(an_instance(one), clock=clock) as it:
        with pytest.raises(EngineTimeout):
            await it.events()
        assert await it.health() == ["open"]
        clock.advance(40)
        assert await it.health() == ["half_open"]
        with pytest.raises(NoInstance):
            await it.events()
        await it.controller.tick()
        while await it.health() != ["closed"]:
            await asyncio.sleep(0.001)
        assert one.requests[-1][1].sampling.max_tokens == 1
        assert said(await it.events()) == "back"


async def test_a_probe_that_fails_puts_the_instance_aside_for_longer():
    clock = ManualClock()
    one = engine((EngineTimeout(),))
    async with a_pool(an_instance(one), clock=clock) as it:
        with pytest.raises(EngineTimeout):
            await it.events()
        clock.advance(40)
        await it.controller.tick()
        while await it.health() != ["open"]:
            await asyncio.sleep(0.001)
        clock.advance(40)
        assert await it.health() == ["open"]
        clock.advance(40)
        assert await it.health() == ["half_open"]


async def test_odd_prompts_cost_an_instance_only_after_three_in_a_row():
    async with a_pool(an_instance(engine((EngineError(),)))) as it:
        for expected in ("closed", "closed", "open"):
            with pytest.raises(EngineError):
                await it.events()
            assert await it.health() == [expected]


async def test_who_waits_for_an_instance_that_dies_is_told():
    release = asyncio.Event()
    async with a_pool(an_instance(engine((Hold(release), EngineTimeout())))) as it:
        running, queued = it.ask("a"), it.ask("b")
        await anext(running)
        await anext(queued)
        release.set()
        with pytest.raises(EngineTimeout):
            await anext(running)
        with pytest.raises(NoInstance):
            _ = [event async for event in queued]


async def test_a_model_nobody_serves_is_refused():
    async with a_pool(an_instance(engine(models=("other",)))) as it:
        with pytest.raises(NoInstance):
            await it.events()


async def test_a_waiter_for_a_busy_model_does_not_hold_up_another_model():
    x, m = ScriptedEngine((Hold(asyncio.Event()),), models=("x",)), engine(recite("hi"))
    async with a_pool(an_instance(x, "x"), an_instance(m, "m")) as it:
        running, queued = it.ask("a", model="x"), it.ask("b", model="x")
        await anext(running)
        await anext(queued)
        assert said(await it.events("c")) == "hi"
        await running.aclose()
        await queued.aclose()


async def test_a_cancelled_reader_gives_slot_and_place_back():
    one = busy()
    async with a_pool(an_instance(one)) as it:
        tasks = [asyncio.ensure_future(it.events(str(n))) for n in range(3)]
        while not (one.open and await it.waiting() == 2):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (await it.waiting(), await it.in_flight(), one.open) == (0, [0], 0)


async def test_a_batch_generation_can_be_promoted():
    async with a_pool(an_instance(busy())) as it:
        running, first, second = it.ask("r"), it.ask("1", priority="batch"), it.ask("2", priority="batch")
        for stream in (running, first, second):
            await anext(stream)
        await it.pool.promote("2")
        await it.pool.promote("nobody")
        await running.aclose()
        events = [await anext(second)]
        while not isinstance(events[-1], Assigned):
            events.append(await anext(second))
        await second.aclose()
        await first.aclose()


async def test_models_are_those_of_the_servers_that_answer():
    down, up = ScriptedEngine(models=EngineUnreachable()), engine(models=("a", "b"))
    async with a_pool(an_instance(down, "d"), an_instance(up, "u")) as it:
        assert [model.info.name for model in await it.pool.models()] == ["a", "b"]
        assert await it.health() == ["open", "closed"], "a refused connection is known before anybody asks"


async def test_a_drained_instance_finishes_what_runs_and_takes_no_more():
    release = asyncio.Event()
    one = engine((Hold(release), *recite("done")))
    async with a_pool(an_instance(one, "a"), an_instance(engine(recite("b")), "b")) as it:
        await it.operator.drain("b")
        running = it.ask()
        assert (await anext(running)).instance == "a"
        await it.operator.drain("a")
        await it.operator.resume("b")
        assert assigned(await it.events("x")) == ["b"]
        assert (await it.instance("a")).draining
        release.set()
        assert said([event async for event in running]) == "done"
        await it.operator.resume("a")
        await it.operator.remove("b")
        assert assigned(await it.events("y")) == ["a"]
        with pytest.raises(NotFound):
            await it.operator.drain("b")


async def test_an_instance_can_be_added_while_it_runs():
    async with a_pool(an_instance(busy(), "a")) as it:
        running, queued = it.ask("1"), it.ask("2")
        await anext(running)
        assert isinstance(await anext(queued), Waiting)
        await it.operator.add(InstanceSpec("new", "ollama", "http://new", slots=1))
        while not isinstance(event := await anext(queued), Assigned):
            pass
        assert event.instance == "new"
        with pytest.raises(Conflict):
            await it.operator.add(InstanceSpec("a", "ollama", "http://a", slots=1))
        await running.aclose()
        await queued.aclose()


async def test_a_slow_or_fallen_gpu_is_told_to_the_operator():
    async with a_pool(an_instance(engine(recite("hi")))) as it:
        for speed in (100.0, *[10.0] * 20):
            it.clock.advance(10)
            await it.controller.succeeded("one", speed, began=it.clock.now())
        assert "was 100" in (await it.instance("one")).reason
