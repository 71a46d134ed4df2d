"""A server that refuses whatever we ask, or one model of those it lists: readers never notice."""

import asyncio

import pytest

from backend.core.errors import EngineRefused, EngineUnreachable, ModelMissing, NoInstance
from backend.engines.base import End, Text
from backend.engines.scripted import ScriptedEngine, recite
from backend.pool.base import Assigned
from backend.pool.retries import RetryBudget
from tests.support.asks import an_instance
from tests.support.pool import a_pool

KEY = "the server refuses the key: set LIBRI_ENGINE__OPENAI_API_KEY"
REFUSAL = EngineRefused(reason=KEY)
MISSING = ModelMissing(reason="does not have the model, though it lists it")


class Server(ScriptedEngine):
    """Refuses the models in `refused`, each with its error; `listing` takes the place of its list."""

    def __init__(self, *models: str, **refused: Exception) -> None:
        super().__init__(choose=self._say, models=models)
        self.refused = dict(refused)
        self.listing: Exception | None = None

    def _say(self, _endpoint, request):
        error = self.refused.get(request.model)
        return (error,) if error else recite("hi")

    async def models(self, endpoint):
        if self.listing is not None:
            raise self.listing
        return await super().models(endpoint)

    def asked(self, model: str) -> int:
        return sum(request.model == model for _, request in self.requests)


def ended_well(events) -> bool:
    return isinstance(events[-1], End) and any(isinstance(event, Text) for event in events)


async def rounds(it, seconds: float) -> None:
    for _ in range(int(seconds / 0.5)):
        it.clock.advance(0.5)
        await it.controller.tick()
        await asyncio.sleep(0.002)


async def test_who_meets_a_refusal_is_served_elsewhere_and_nobody_meets_it_again():
    bad, good = Server("m", m=REFUSAL), Server("m")
    async with a_pool(an_instance(bad, "bad"), an_instance(good, "good")) as it:
        for n in range(20):
            assert ended_well(await it.events(str(n)))
        assert bad.asked("m") == 1
        assert await it.health() == ["open", "closed"]
        assert (await it.instance("bad")).reason == KEY


async def test_a_server_that_lists_and_refuses_to_chat_does_not_come_and_go():
    bad, good = Server("m", m=REFUSAL), Server("m")
    async with a_pool(an_instance(bad, "bad"), an_instance(good, "good")) as it:
        await it.controller.failed("bad", REFUSAL, model="m")
        for _ in range(240):
            await rounds(it, 0.5)
            assert await it.health() != ["closed", "closed"]
        assert ended_well(await it.events())


async def test_one_that_is_mended_comes_back_by_itself_before_its_time():
    bad, good = Server("m", m=REFUSAL), Server("m")
    async with a_pool(an_instance(bad, "bad"), an_instance(good, "good")) as it:
        await it.controller.failed("bad", REFUSAL, model="m")
        await rounds(it, 20)
        assert await it.health() == ["open", "closed"]
        bad.refused.clear()
        await rounds(it, 6)
        assert await it.health() == ["closed", "closed"]
        assert (await it.instance("bad")).reason == ""


async def test_a_list_that_is_refused_sets_it_aside_before_any_reader_meets_it():
    bad, good = Server("m", m=REFUSAL), Server("m")
    bad.listing = REFUSAL
    async with a_pool(an_instance(bad, "bad"), an_instance(good, "good")) as it:
        assert (await it.instance("bad")).reason == KEY
        for n in range(10):
            assert ended_well(await it.events(str(n)))
        assert bad.asked("m") == 0
        bad.listing, bad.refused = None, {}
        await rounds(it, 6)
        assert await it.health() == ["closed", "closed"]


async def test_one_that_began_to_refuse_is_found_by_a_look():
    bad, good = Server("m"), Server("m")
    async with a_pool(an_instance(bad, "bad"), an_instance(good, "good")) as it:
        bad.listing, bad.refused = REFUSAL, {"m": REFUSAL}
        await rounds(it, 6)
        assert await it.health() == ["open", "closed"]


async def test_one_whose_list_alone_is_refused_serves_on():
    odd = Server("m")
    async with a_pool(an_instance(odd)) as it:
        odd.listing = REFUSAL
        for n in range(60):
            await rounds(it, 1)
            assert ended_well(await it.events(str(n)))
        assert await it.health() == ["closed"]


async def test_one_without_a_list_from_the_start_is_tried_with_the_default_model():
    odd = Server("m")
    odd.listing = REFUSAL
    async with a_pool(an_instance(odd), default_model="m") as it:
        await rounds(it, 1)
        assert await it.health() == ["closed"]
        assert ended_well(await it.events())


async def test_where_all_refuse_the_reader_is_told_so_and_may_try_again():
    async with a_pool(an_instance(Server("m", m=REFUSAL))) as it:
        for n in range(5):
            with pytest.raises((EngineRefused, NoInstance)) as refused:
                await it.events(str(n))
            assert refused.value.retryable


async def test_refusals_leave_the_retries_to_those_who_need_them():
    bad = Server("x", "m", x=REFUSAL, m=REFUSAL)
    dying, good = Server("m"), Server("m")
    budget = RetryBudget(share=0.0, floor=1)
    instances = [an_instance(bad, "bad"), an_instance(dying, "dying"), an_instance(good, "good")]
    async with a_pool(*instances, retries=budget) as it:
        for n in range(30):
            with pytest.raises((EngineRefused, NoInstance)):
                await it.events(f"x{n}", model="x")
        dying.refused["m"] = EngineUnreachable()
        assert all([ended_well(await it.events(f"m{n}")) for n in range(8)])


@pytest.mark.parametrize("error", [REFUSAL, MISSING])
async def test_a_model_that_is_refused_alone_costs_the_others_nothing(error):
    half, good = Server("a", "m", m=error), Server("m")
    async with a_pool(an_instance(half, "half", slots=4), an_instance(good, "good")) as it:
        for n in range(40):
            assert ended_well(await it.events(f"m{n}"))
            await rounds(it, 0.5)
            assert [type(e).__name__ for e in await it.events(f"a{n}", model="a")][-1] == "End"
        assert half.asked("m") <= 3
        assert (await it.instance("half")).health == "closed"
        assert "m: " in (await it.instance("half")).reason
        half.refused.clear()
        await rounds(it, 130)
        served = [e.instance for n in range(8) for e in await it.events(f"b{n}") if isinstance(e, Assigned)]
        assert "half" in served
        assert (await it.instance("half")).reason == ""


async def test_a_model_that_nobody_serves_is_not_offered():
    half = Server("a", "m", m=MISSING)
    async with a_pool(an_instance(half)) as it:
        with pytest.raises((ModelMissing, NoInstance)):
            await it.events()
        assert [model.info.name for model in await it.pool.models()] == ["a"]
        with pytest.raises(NoInstance):
            await it.events()


async def test_a_key_that_ends_after_one_model_was_refused_sets_the_server_aside():
    half, good = Server("a", "m", m=REFUSAL), Server("a", "m")
    async with a_pool(an_instance(half, "half", slots=4), an_instance(good, "good", slots=4)) as it:
        await it.controller.failed("half", REFUSAL, model="m")
        await rounds(it, 1)
        assert (await it.instance("half")).health == "closed"
        half.refused["a"] = REFUSAL
        for n in range(20):
            assert ended_well(await it.events(f"a{n}", model="a"))
        await rounds(it, 2)
        assert (await it.instance("half")).health == "open"


class Unloaded(Server):
    """Holds nothing, and refuses to load."""

    async def loaded(self, endpoint):
        return ()

    async def load(self, endpoint, model, *, within_s):
        raise REFUSAL


async def test_one_that_refuses_to_load_a_model_says_why():
    cold, other = Unloaded("m", m=REFUSAL), Server("other")
    async with a_pool(an_instance(cold, "cold"), an_instance(other, "other")) as it:
        waiting = asyncio.ensure_future(it.events())
        await asyncio.sleep(0.01)
        await rounds(it, 2)
        assert (await it.instance("cold")).reason == KEY
        with pytest.raises((EngineRefused, NoInstance)):
            await waiting


async def test_one_that_is_removed_while_it_refuses_disturbs_nobody():
    bad, good = Server("a", "m", m=REFUSAL), Server("m")
    async with a_pool(an_instance(bad, "bad"), an_instance(good, "good")) as it:
        await it.operator.remove("bad")
        await it.controller.failed("bad", REFUSAL, model="m")
        await rounds(it, 10)
        assert ended_well(await it.events())
