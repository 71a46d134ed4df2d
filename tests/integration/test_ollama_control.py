"""Control of Ollama's models against the emulator, and against bytes that the emulator does not send."""

import asyncio
import json
from contextlib import aclosing, asynccontextmanager

import pytest

from backend.core.errors import (
    EngineError,
    EngineRefused,
    EngineRejected,
    EngineTimeout,
    EngineTruncated,
    EngineUnreachable,
    ModelMissing,
)
from backend.core.types import Sampling
from backend.engines.base import Endpoint
from backend.engines.control import Progress
from backend.engines.ollama import OllamaEngine
from backend.engines.ollama_control import ControlBounds, OllamaControl
from backend.infra.http import open_session
from tests.support.asks import a_request
from tests.support.emulator import emulator
from tests.support.wire import CHUNKED, OK, chunked, refusal, wire_server

HURRIED = ControlBounds(connect_s=5.0, answer_s=2.0, moving_s=2.0, step_s=2.0)
LAYERS = 4_920_000_000 + 1_481 + 485


@asynccontextmanager
async def ollama(bounds=None, **knobs):
    async with emulator(**({"time_scale": 0.001} | knobs)) as server:
        yield OllamaControl(bounds), Endpoint(server.url), server


async def load(endpoint, model="llama3.1:8b"):
    request = a_request(model=model, sampling=Sampling(0.0, 1))
    async with open_session() as session:
        async for _ in OllamaEngine(session, context_tokens=8192).generate(endpoint, request):
            pass


async def all_of(steps):
    return [step async for step in steps]


def notes(caught):
    return " ".join(getattr(caught.value, "__notes__", ()))


async def test_everything_on_disk_is_listed_with_its_size_and_quantisation():
    async with ollama() as (control, endpoint, _):
        listed = {model.name: model for model in await control.list(endpoint)}
    assert "nomic-embed-text:latest" in listed, "what only embeds takes room as well"
    plain = listed["llama3.1:8b"]
    assert (plain.parameters, plain.quantisation) == ("8.0B", "Q4_K_M")
    assert plain.size_bytes == 4_920_000_000
    assert len(plain.digest) == 64


async def test_what_is_loaded_says_where_with_which_context_and_until_when():
    async with ollama() as (control, endpoint, _):
        assert await control.ps(endpoint) == ()
        await load(endpoint)
        (loaded,) = await control.ps(endpoint)
        on_disk = {model.name: model for model in await control.list(endpoint)}
    assert loaded.name == "llama3.1:8b"
    assert loaded.digest == on_disk["llama3.1:8b"].digest
    assert loaded.size_bytes >= on_disk["llama3.1:8b"].size_bytes, "weights and cache"
    assert loaded.gpu_share == 1.0
    assert loaded.context_tokens == 8192
    assert loaded.expires_at > 1.7e9


async def test_a_model_that_fell_to_the_cpu_is_seen():
    async with ollama() as (control, endpoint, server):
        await load(endpoint)
        await server.fault("gpu_lost", variant="ps_honest")
        (loaded,) = await control.ps(endpoint)
    assert loaded.gpu_share == 0.0


async def test_the_engine_tells_the_same_of_what_is_loaded():
    async with ollama() as (control, endpoint, _), open_session() as session:
        await load(endpoint)
        assert await OllamaEngine(session, context_tokens=8192).loaded(endpoint) == await control.ps(endpoint)


async def test_one_model_is_shown_with_what_it_can_do_and_its_context():
    async with ollama() as (control, endpoint, _):
        thinker, plain = await control.show(endpoint, "qwen3:8b"), await control.show(endpoint, "llama3.1:8b")
    assert thinker.info.thinks is True
    assert plain.info.thinks is False
    assert thinker.info.context_tokens == 40_960
    assert thinker.capabilities == ("completion", "tools", "thinking")
    assert plain.family == "llama"


async def test_a_pull_counts_the_bytes_of_all_layers_and_ends_when_the_model_is_there():
    async with ollama() as (control, endpoint, _):
        steps = await all_of(control.pull(endpoint, "gemma3:4b"))
        names = {model.name for model in await control.list(endpoint)}
    assert "gemma3:4b" in names
    assert steps[0] == Progress("pulling manifest")
    assert steps[-1] == Progress("success", LAYERS, LAYERS)
    done = [step.completed_bytes for step in steps]
    assert done == sorted(done)
    assert len(set(done)) > 5


async def test_a_pull_of_what_is_there_ends_as_well():
    async with ollama() as (control, endpoint, _):
        assert (await all_of(control.pull(endpoint, "llama3.1:8b")))[-1].step == "success"


async def test_closing_a_pull_stops_it():
    async with ollama(time_scale=1.0, pull_bytes_per_s=1e8) as (control, endpoint, server):
        async with aclosing(control.pull(endpoint, "gemma3:4b")) as steps:
            async for step in steps:
                if step.total_bytes:
                    break
        async with asyncio.timeout(10):
            while not await server.events(kind="client_gone"):
                await asyncio.sleep(0.02)
        assert "gemma3:4b" not in {model.name for model in await control.list(endpoint)}


async def test_a_model_is_removed():
    async with ollama() as (control, endpoint, _):
        await control.delete(endpoint, "llama3.1:8b")
        with pytest.raises(ModelMissing):
            await control.show(endpoint, "llama3.1:8b")


async def test_what_is_not_there_is_said_to_be_missing_in_the_servers_words():
    async with ollama() as (control, endpoint, _):
        with pytest.raises(ModelMissing) as caught:
            await control.show(endpoint, "nobody")
        assert "nobody" in notes(caught)
        assert "nobody" not in caught.value.message
        with pytest.raises(ModelMissing):
            await control.delete(endpoint, "nobody")
        with pytest.raises(ModelMissing) as caught:
            await all_of(control.pull(endpoint, "missing-model"))
        assert "pull model manifest" in notes(caught)


@pytest.mark.parametrize("stage", ["manifest", "pulling", "verifying", "writing"])
async def test_a_pull_that_fails_says_why(stage):
    async with ollama() as (control, endpoint, server):
        await server.fault("pull_error", stage=stage, message="no space left on device\x1b[2J")
        with pytest.raises(EngineError) as caught:
            await all_of(control.pull(endpoint, "gemma3:4b"))
    assert notes(caught) == "no space left on device [2J", "nothing that steers a terminal"


CALLS = {
    "/api/tags": lambda control, endpoint: control.list(endpoint),
    "/api/ps": lambda control, endpoint: control.ps(endpoint),
    "/api/show": lambda control, endpoint: control.show(endpoint, "llama3.1:8b"),
    "/api/delete": lambda control, endpoint: control.delete(endpoint, "llama3.1:8b"),
    "/api/pull": lambda control, endpoint: all_of(control.pull(endpoint, "gemma3:4b")),
}
FAULTS = [
    ({"kind": "refuse"}, EngineUnreachable),
    ({"kind": "accept_then_hang"}, EngineTimeout),
    ({"kind": "reset_before_headers"}, EngineUnreachable),
    ({"kind": "status", "code": 500, "body": '{"error":"x"}'}, EngineUnreachable),
    ({"kind": "status", "code": 502, "body": "<html>bad</html>"}, EngineUnreachable),
    ({"kind": "status", "code": 503, "body": ""}, EngineUnreachable),
    ({"kind": "status", "code": 429, "body": "{}"}, EngineUnreachable),
    ({"kind": "status", "code": 400, "body": '{"error":"no"}'}, EngineRejected),
    ({"kind": "status", "code": 302, "body": ""}, EngineRefused),
    ({"kind": "status", "code": 500, "body": "[1]"}, EngineError),
]


@pytest.mark.parametrize("path", CALLS)
async def test_every_fault_is_an_error_of_ours_and_the_next_call_works(path):
    call = CALLS[path]
    async with ollama(HURRIED) as (control, endpoint, server):
        for fault, error in FAULTS:
            await server.fault(**fault, paths=path)
            with pytest.raises(error) as caught:
                await asyncio.wait_for(call(control, endpoint), 30)
            assert "127.0.0.1" not in caught.value.message
            await server.clear()
        await call(OllamaControl(), endpoint)


async def test_a_ps_that_stands_still_is_bounded_and_holds_nothing_else_up():
    async with ollama(HURRIED, time_scale=1.0) as (control, endpoint, server):
        await server.fault("ps_stall", s=60)
        stalled = asyncio.ensure_future(control.ps(endpoint))
        assert await control.list(endpoint)
        with pytest.raises(EngineTimeout):
            await stalled


async def test_a_pull_that_falls_silent_is_given_up():
    async with ollama(HURRIED, time_scale=1.0, pull_bytes_per_s=1) as (control, endpoint, _):
        with pytest.raises(EngineTimeout):
            await asyncio.wait_for(all_of(control.pull(endpoint, "gemma3:4b")), 30)


def line(**fields):
    return json.dumps(fields).encode() + b"\n"


def layer(completed, digest="sha256:a"):
    return line(status="pulling a", digest=digest, total=1000, completed=completed)


SUCCESS = line(status="success")


async def test_a_pull_that_says_the_same_over_and_over_is_given_up():
    same = [part for _ in range(200) for part in (layer(10), 0.1)]
    async with wire_server(OK, *same) as server:
        with pytest.raises(EngineTimeout):
            await asyncio.wait_for(all_of(OllamaControl(HURRIED).pull(Endpoint(server.url), "m")), 15)


async def test_a_slow_pull_is_borne_as_long_as_bytes_come():
    slow = [part for n in range(30) for part in (layer(n), 0.1)]
    async with wire_server(OK, *slow, SUCCESS) as server:
        steps = await all_of(OllamaControl(HURRIED).pull(Endpoint(server.url), "m"))
    assert steps[-1] == Progress("success", 1000, 29)


async def test_a_long_step_without_a_word_has_a_bound_of_its_own():
    bounds = ControlBounds(moving_s=0.2, step_s=30.0)
    say = (layer(1000), line(status="verifying sha256 digest"), 1.0, SUCCESS)
    async with wire_server(OK, *say) as server:
        assert (await all_of(OllamaControl(bounds).pull(Endpoint(server.url), "m")))[-1].step == "success"


async def test_layers_are_summed_as_they_become_known():
    say = (layer(0), layer(1000), layer(0, "sha256:b"), layer(500, "sha256:b"), SUCCESS)
    async with wire_server(OK, *say) as server:
        steps = await all_of(OllamaControl().pull(Endpoint(server.url), "m"))
    assert [(step.total_bytes, step.completed_bytes) for step in steps] == [
        (1000, 0),
        (1000, 1000),
        (2000, 1000),
        (2000, 1500),
        (2000, 1500),
    ]


@pytest.mark.parametrize(
    ("say", "end", "error"),
    [
        ((OK, layer(1)), "eof", EngineTruncated),
        ((CHUNKED, *chunked(layer(1))), "reset", EngineTruncated),
        ((CHUNKED, *chunked(layer(1))), "eof", EngineTruncated),
        ((OK,), "eof", EngineTruncated),
        ((OK, layer(1), b"oops\n"), "eof", EngineError),
        ((OK, layer(1), b"\n"), "eof", EngineTruncated),
        ((OK, layer(1), b"[1]\n"), "eof", EngineError),
        ((OK, layer(1), line(status="x", total="many")), "eof", EngineError),
        ((OK, layer(1), line(error={"deep": 1})), "eof", EngineError),
    ],
)
async def test_a_pull_that_is_cut_or_talks_nonsense_is_an_error_of_ours(say, end, error):
    async with wire_server(*say, end=end) as server:
        with pytest.raises(EngineError) as caught:
            await asyncio.wait_for(all_of(OllamaControl().pull(Endpoint(server.url), "m")), 15)
    assert type(caught.value) is error


@pytest.mark.parametrize("body", [b"oops", b"[]", b"{}", b'{"models":[3]}', b'{"models":[{"size":"big"}]}'])
async def test_an_answer_that_cannot_be_read_is_an_error_of_ours(body):
    async with wire_server(refusal(200, body)) as server:
        for call in (OllamaControl().list, OllamaControl().ps):
            with pytest.raises(EngineError):
                await call(Endpoint(server.url))


@pytest.mark.parametrize("url", ["http://[bad", "http://127.0.0.1:99999999", "http://x y"])
async def test_an_address_that_is_none_is_an_error_of_ours(url):
    with pytest.raises(EngineError):
        await OllamaControl().list(Endpoint(url))
    with pytest.raises(EngineError):
        await all_of(OllamaControl().pull(Endpoint(url), "m"))


async def test_only_the_credential_of_the_server_is_sent_and_no_proxy_is_asked(monkeypatch):
    monkeypatch.setenv("OLLAMA_API_KEY", "of-another-place")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with wire_server(refusal(200, {"models": []})) as server:
        host = server.url.removeprefix("http://")
        for endpoint in (
            Endpoint(server.url),
            Endpoint(server.url, api_key="ours"),
            Endpoint(f"http://jo:s%40fe@{host}"),
        ):
            await OllamaControl().ps(endpoint)
        assert [headers.get("authorization") for headers in server.headers] == [
            None,
            "Bearer ours",
            "Basic am86c0BmZQ==",
        ]
