"""A real llama.cpp server, behind the engine and the pool."""

import asyncio
from contextlib import aclosing

import pytest

from backend.core.clock import SystemClock
from backend.core.errors import ContextOverflow
from backend.core.types import Message, Sampling
from backend.engines.base import End, Endpoint, Resumed, Text
from backend.engines.dialects import COMMON, LLAMA_CPP, MLX
from backend.engines.openai_compat import OpenAICompatEngine
from backend.infra.http import open_session
from backend.pool.base import Assigned, Waiting
from devstack.llamacpp import llama_server
from tests.support.asks import a_request, an_ask, an_instance
from tests.support.live_app import live_app, settings_in, text_of
from tests.support.pool import a_pool
from tests.support.tiny_model import ANSWER, THINKING, build

SLOTS = 4
ENDLESS = Sampling(temperature=0.0, max_tokens=29_000)


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    made = {mode: build(folder / f"{mode}.gguf", mode=mode) for mode in ("recite", "babble")}
    return {**made, "think": build(folder / "think.gguf", template=THINKING)}


@pytest.fixture(scope="module")
def reciter(models):
    with llama_server(models["recite"], slots=SLOTS) as server:
        yield server


@pytest.fixture(scope="module")
def babbler(models):
    with llama_server(models["babble"], slots=SLOTS) as server:
        yield server


@pytest.fixture
async def engine():
    async with open_session() as session:
        yield OpenAICompatEngine(session, dialect=LLAMA_CPP)


async def in_thread(call):
    return await asyncio.to_thread(call)


async def test_an_answer_streams_to_its_end(engine, reciter):
    request = a_request("When does the room open?")
    pieces = [piece async for piece in engine.generate(Endpoint(reciter.url), request)]
    texts = [piece for piece in pieces if isinstance(piece, Text)]
    assert "".join(piece.text for piece in texts) == ANSWER
    assert sum(piece.tokens for piece in texts) > 1  # on a busy machine all of them may come in one read
    assert isinstance(pieces[-1], End)
    assert pieces[-1].finish_reason == "stop"
    assert pieces[-1].usage.completion_tokens >= 10
    assert pieces[-1].usage.prompt_tokens > len(request.question)
    assert 0 < pieces[-1].usage.prompt_s < 60
    assert 0 < pieces[-1].usage.completion_s < 60


async def test_a_bounded_answer_ends_with_length(engine, babbler):
    request = a_request(sampling=Sampling(temperature=0.0, max_tokens=20))
    pieces = [piece async for piece in engine.generate(Endpoint(babbler.url), request)]
    assert (pieces[-1].finish_reason, pieces[-1].usage.completion_tokens) == ("length", 20)


async def test_stopping_half_way_frees_the_slot(engine, babbler):
    async with aclosing(engine.generate(Endpoint(babbler.url), a_request(sampling=ENDLESS))) as pieces:
        for _ in range(10):
            assert isinstance(await anext(pieces), Text)
        assert await in_thread(babbler.busy) == 1
    assert await in_thread(babbler.seconds_until_idle) < 1.0


async def test_a_cancelled_task_frees_the_slot(engine, babbler):
    started = asyncio.Event()

    async def read():
        async for _ in engine.generate(Endpoint(babbler.url), a_request(sampling=ENDLESS)):
            started.set()

    task = asyncio.ensure_future(read())
    await started.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await in_thread(babbler.seconds_until_idle) < 1.0


async def test_a_prompt_that_does_not_fit_has_its_own_error(engine, reciter):
    request = a_request(messages=(Message("user", "x" * 40_000),))
    with pytest.raises(ContextOverflow):
        await anext(engine.generate(Endpoint(reciter.url), request))


@pytest.fixture(scope="module")
def another(models):
    with llama_server(models["recite"], slots=1) as server:
        yield server


@pytest.fixture(scope="module")
def thinker(models):
    with llama_server(models["think"], slots=1) as server:
        yield server


async def test_an_answer_broken_off_half_way_goes_on_at_another_server(engine, reciter, another):
    shown = ""
    async with aclosing(engine.generate(Endpoint(reciter.url), a_request())) as pieces:
        while len(shown) < len(ANSWER) // 2:
            shown += (await anext(pieces)).text
    asked = a_request(partial=shown)
    first, *rest = [piece async for piece in engine.generate(Endpoint(another.url), asked)]
    assert first == Resumed(True)
    assert shown + "".join(piece.text for piece in rest[:-1]) == ANSWER
    assert 0 < rest[-1].usage.completion_tokens < 18, "it wrote the last words, the rest, and no more"


@pytest.mark.parametrize("served", ["another", "thinker"])
@pytest.mark.parametrize("dialect", [LLAMA_CPP, COMMON, MLX], ids=lambda dialect: dialect.name)
async def test_wherever_it_broke_the_whole_is_the_undisturbed_answer(served, dialect, request):
    endpoint = Endpoint(request.getfixturevalue(served).url)
    async with open_session() as session:
        engine = OpenAICompatEngine(session, dialect=dialect)
        for cut in range(1, len(ANSWER) + 1):
            asked = a_request(partial=ANSWER[:cut], sampling=Sampling(0.0, 64, thinking=served == "thinker"))
            first, *rest = [piece async for piece in engine.generate(endpoint, asked)]
            assert first == Resumed(True)
            assert ANSWER[:cut] + "".join(piece.text for piece in rest[:-1]) == ANSWER
            assert isinstance(rest[-1], End)


async def test_the_context_of_a_slot_is_told_and_a_refusal_has_both_figures(engine, models):
    with llama_server(models["recite"], slots=2, slot_tokens=512) as server:
        endpoint = Endpoint(server.url)
        (loaded,) = await engine.loaded(endpoint)
        assert loaded.context_tokens == 512
        assert (await engine.models(endpoint))[0].context_tokens == 512
        with pytest.raises(ContextOverflow) as caught:
            await anext(engine.generate(endpoint, a_request(messages=(Message("user", "x" * 600),))))
        assert caught.value.context_tokens == 512
        assert caught.value.prompt_tokens > 600


async def test_with_a_byte_a_token_and_a_context_of_1024_every_question_is_answered(
    models, tmp_path, models_dir
):
    shelf = [
        (f"{n}.md", f"# Room {n}\n\n{'The room opens at ten and shuts at six. ' * 20}".encode())
        for n in range(6)
    ]
    with llama_server(models["recite"], slots=2, slot_tokens=1024) as server:
        section = {
            "backend": "openai",
            "openai_urls": [server.url],
            "openai_dialect": "llama.cpp",
            "slots": 2,
        }
        settings = settings_in(tmp_path / "data", models_dir, engine=section, chat={"max_tokens": 64})
        async with live_app(settings, instances=None) as app:
            await app.put(*shelf)
            for n in range(6):
                happened = await app.ask(f"When does room {n} open?")
                assert happened[-1].name == "done", happened[-1].data
                assert text_of(happened) == ANSWER.replace(
                    " [2]", "" if happened[-1].data["citations"] == [1] else " [2]"
                )
                usage = happened[-1].data["usage"]
                assert usage["prompt_tokens"] + 64 <= 1024


async def test_the_server_lists_its_model(engine, reciter):
    (model,) = await engine.models(Endpoint(reciter.url))
    assert model.name
    assert model.context_tokens > 0
    assert model.parameters.endswith(("M", "B"))
    assert [loaded.name for loaded in await engine.loaded(Endpoint(reciter.url))] == [model.name]


async def test_the_pool_never_sends_more_than_the_slots(engine, babbler):
    most, places = [], set()
    model = (await engine.models(Endpoint(babbler.url)))[0].name
    one = an_instance(engine, url=babbler.url, slots=SLOTS)
    async with a_pool(one, clock=SystemClock(), refresh_s=0.05) as it:

        async def ask(n):
            request = a_request(model=model, sampling=Sampling(temperature=0.0, max_tokens=400))
            async for event in it.pool.generate(an_ask(str(n)), request):
                most.extend(await it.in_flight())
                if isinstance(event, Waiting):
                    places.add(event.position)
            assert isinstance(event, End)

        async with asyncio.TaskGroup() as group:
            asks = [group.create_task(ask(n)) for n in range(12)]
            while not all(task.done() for task in asks):
                assert await in_thread(babbler.busy) <= SLOTS
        assert max(most) == SLOTS
        assert max(places) == 8
        assert await it.in_flight() == [0]


async def test_an_answer_whose_server_dies_in_the_middle_goes_on_at_another(engine, models):
    with llama_server(models["babble"], slots=1) as one, llama_server(models["babble"], slots=1) as other:
        servers = {"one": one, "other": other}
        model = (await engine.models(Endpoint(one.url)))[0].name
        request = a_request(model=model, sampling=Sampling(temperature=0.0, max_tokens=4000))
        instances = [an_instance(engine, name, url=server.url) for name, server in servers.items()]
        async with a_pool(*instances, clock=SystemClock()) as it:
            stream = it.pool.generate(an_ask(), request)
            first = await anext(stream)
            assert isinstance(first, Assigned)
            shown = [await anext(stream) for _ in range(3)]
            assert all(isinstance(piece, Text) for piece in shown)
            servers[first.instance].child.kill()
            rest = [event async for event in stream]
            assert [event.instance for event in rest if isinstance(event, Assigned)] == [
                name for name in servers if name != first.instance
            ]
            assert isinstance(rest[-1], End)
            assert isinstance(rest[-2], Text), "it was not at its end"
            quick = a_request(model=model, sampling=Sampling(temperature=0.0, max_tokens=5))
            async with asyncio.timeout(60):
                while "open" not in await it.health():  # the next one that comes to it finds it dead
                    assert isinstance([event async for event in it.pool.generate(an_ask(), quick)][-1], End)
