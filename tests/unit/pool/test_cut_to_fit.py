"""Each attempt is cut to the context of the instance that it goes to."""

import dataclasses

import pytest

from backend.core.errors import ContextOverflow, EngineTruncated
from backend.core.types import Usage
from backend.engines.base import End, ModelInfo, Text
from backend.engines.scripted import ScriptedEngine, recite
from backend.pool.base import Assigned
from backend.pool.retries import RetryBudget
from tests.support.asks import a_request, an_ask, an_instance
from tests.support.pool import a_pool

TOO_LONG = ContextOverflow("too long", context_tokens=1024, prompt_tokens=2000)


class Cutter:
    """Asks for as many tokens as the context has; needs `least` of them; cuts again `times` times."""

    def __init__(self, *, least=0, times=1):
        self.least, self.times = least, times
        self.contexts, self.refusals, self.usages = [], [], []

    def cut(self, request, context_tokens):
        self.contexts.append(context_tokens)
        if context_tokens is not None and context_tokens < self.least:
            raise ContextOverflow("the question does not fit")
        sampling = dataclasses.replace(request.sampling, max_tokens=context_tokens or 7)
        return dataclasses.replace(request, sampling=sampling)

    def refused(self, error):
        self.refusals.append(error)
        return len(self.refusals) <= self.times

    def answered(self, usage):
        self.usages.append(usage)


def an_engine(*scripts, context=4096):
    return ScriptedEngine(*scripts, models=(ModelInfo("m", context_tokens=context),))


async def events(it, fit):
    return [event async for event in it.pool.generate(an_ask(), a_request(model="m"), fit)]


async def test_the_context_of_the_instance_bounds_the_attempt_and_the_count_is_told():
    engine, fit = an_engine((Text("hi"), End("stop", Usage(prompt_tokens=9))), context=2048), Cutter()
    async with a_pool(an_instance(engine)) as it:
        await events(it, fit)
        assert await it.pool.contexts("m") == {"one": 2048}
        assert await it.pool.contexts("unknown") == {}
    assert [request.sampling.max_tokens for _, request in engine.requests] == [2048]
    assert fit.usages == [Usage(prompt_tokens=9)]


async def test_a_prompt_found_too_long_is_cut_to_what_the_refusal_tells_and_asked_once_more():
    engine, fit = an_engine((TOO_LONG,), recite("hi")), Cutter()
    async with a_pool(an_instance(engine), retries=RetryBudget(floor=0)) as it:
        happened = await events(it, fit)
        assert isinstance(happened[-1], End)
        assert fit.contexts == [4096, 1024]
        assert await it.in_flight() == [0]
        assert await it.health() == ["closed"]


async def test_who_cannot_be_cut_further_is_refused_and_every_slot_is_free():
    engine, fit = an_engine((TOO_LONG,)), Cutter(times=1)
    async with a_pool(an_instance(engine)) as it:
        with pytest.raises(ContextOverflow) as caught:
            await events(it, fit)
        assert caught.value.retry_after_s is None
        assert len(engine.requests) == 2
        assert await it.in_flight() == [0]


async def test_a_question_that_does_not_fit_one_instance_goes_to_one_where_it_does():
    small, large, fit = an_engine(context=512), an_engine(recite("hi"), context=8192), Cutter(least=1000)
    async with a_pool(an_instance(small, "small", slots=9), an_instance(large, "large")) as it:
        for _ in range(5):
            happened = await events(it, fit)
            assert [e.instance for e in happened if isinstance(e, Assigned)] == ["large"]
    assert small.requests == []


async def test_a_question_that_fits_nowhere_is_refused():
    fit = Cutter(least=1000)
    instances = [an_instance(an_engine(context=512), name) for name in ("a", "b")]
    async with a_pool(*instances) as it:
        with pytest.raises(ContextOverflow):
            await events(it, fit)
        assert fit.contexts == [512, 512]
        assert await it.in_flight() == [0, 0]


async def in_turn(fit, *scripts):
    """Two instances of unlike contexts; whichever is asked, the next script is played."""
    coming = list(scripts)
    engines = [
        ScriptedEngine(choose=lambda *_: coming.pop(0), models=(ModelInfo("m", context_tokens=context),))
        for context in (8192, 4096)
    ]
    async with a_pool(*(an_instance(one, f"i{n}") for n, one in enumerate(engines))) as it:
        return await events(it, fit)


async def test_an_answer_that_goes_on_elsewhere_is_cut_to_the_context_there():
    fit = Cutter()
    happened = await in_turn(fit, (Text("It opens "), EngineTruncated()), recite("It opens at nine."))
    assert isinstance(happened[-1], End)
    assert sorted(fit.contexts) == [4096, 8192]


async def test_an_overflow_after_a_failure_is_cut_as_well():
    fit = Cutter()
    happened = await in_turn(fit, (EngineTruncated(),), (TOO_LONG,), recite("hi"))
    assert isinstance(happened[-1], End)
    assert sorted(fit.contexts) == [1024, 4096, 8192]


async def test_without_a_fit_an_overflow_is_the_readers_as_before():
    async with a_pool(an_instance(an_engine((TOO_LONG,)))) as it:
        with pytest.raises(ContextOverflow):
            await events(it, None)
