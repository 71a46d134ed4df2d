"""What an operator sees of the pool and does to it: one application over emulated model servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.core.instances import MAX_SLOTS
from backend.core.types import Role
from tests.support.emulator import Emulator, emulator
from tests.support.live_app import HOURS, LiveApp, live_app, settings_in, text_of

POOL = "/api/v1/admin/pool"
INSTANCES = f"{POOL}/instances"
ANSWER = f"The library opens at nine [1]{', and closes at six' * 12}."
MODEL = "llama3.1:8b"


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Emulator, Emulator]]:
    fast: dict[str, Any] = {"time_scale": 1.0, "num_parallel": 2, "reply": ANSWER, "preset": "7b-3090"}
    async with emulator(**fast) as one, emulator(**fast) as two, httpx.AsyncClient(timeout=60) as client:
        load = {"model": MODEL, "keep_alive": -1}
        urls = [f"{server.url}/api/generate" for server in (one, two)]
        await asyncio.gather(*(client.post(url, json=load) for url in urls))
        yield one, two


@pytest.fixture
def serve(tmp_path: Path, models_dir: Path) -> Callable[..., Any]:
    """An application over those servers, with documents."""

    @asynccontextmanager
    async def serving(*servers: Emulator, **more: Any) -> AsyncIterator[LiveApp]:
        engine = {
            "backend": "ollama", "ollama_urls": [server.url for server in servers], "model": MODEL,
            "slots": 2, "ollama_keep_alive": "24h", "breaker_open_s": 0.5, **more.pop("engine", {}),
        }  # fmt: skip
        settings = settings_in(tmp_path / "data", models_dir, engine=engine, **more)
        async with live_app(settings, instances=None) as app:
            await app.put(HOURS)
            yield app

    return serving


async def state(app: LiveApp) -> dict[str, Any]:
    response = await app.client.get(POOL)
    assert response.status_code == 200, response.text
    return response.json()


async def instance(app: LiveApp, id: str) -> dict[str, Any]:
    return next(one for one in (await state(app))["instances"] if one["id"] == id)


async def until(holds: Callable[[], Any], *, within_s: float = 30.0) -> None:
    """Wait for a condition, which is awaited each time."""
    async with asyncio.timeout(within_s):
        while not await holds():
            await asyncio.sleep(0.05)


async def answers(app: LiveApp, *questions: str) -> list[str]:
    """What is answered to questions that are asked at once."""
    asked = await asyncio.gather(*(app.ask(question) for question in questions))
    assert [events[-1].name for events in asked] == ["done"] * len(questions)
    return [text_of(events) for events in asked]


def questions(what: str, many: int) -> list[str]:
    return [f"When does the library open in the morning, {what} {n}?" for n in range(many)]


async def arrivals(server: Emulator) -> int:
    """Generations it was asked for so far; loads are none."""
    return len(await server.events(kind="slot_get"))


async def test_the_state_tells_all_of_every_instance_and_of_the_queue(
    serve: Callable[..., Any], pair: tuple[Emulator, Emulator]
) -> None:
    async with serve(*pair) as app:
        await answers(app, *questions("state", 4))
        found = await state(app)
    assert [one["id"] for one in found["instances"]] == ["ollama-1", "ollama-2"]
    assert [one["address"] for one in found["instances"]] == [server.url for server in pair]
    assert (found["queue"], found["processes"], found["shared"]) == (
        {"models": {}, "total": 0, "batch": 0}, 1, True
    )  # fmt: skip
    used = next(one for one in found["instances"] if one["tokens_per_s"])
    assert MODEL in used["ready"]
    assert "qwen3:8b" in used["cold"]
    assert used["health"] == "closed"
    assert (used["slots"], used["in_flight"], used["serving"]) == (2, 0, {})
    assert used["on_gpu"] == 1


async def test_draining_under_load_loses_no_answer_and_gives_the_instance_nothing_more(
    serve: Callable[..., Any], pair: tuple[Emulator, Emulator]
) -> None:
    one, two = pair
    async with serve(one, two) as app:
        asked = asyncio.ensure_future(answers(app, *questions("drain", 16)))
        await until(lambda: runs(app, "ollama-1"))
        drained = await app.client.post(f"{INSTANCES}/ollama-1/drain")
        assert drained.json()["draining"] is True
        before = await arrivals(one)
        await until(lambda: runs(app, "ollama-1", none=True))
        after = await arrivals(one)
        assert after - before <= 2, "what it had been given by then"
        assert await asked == [ANSWER] * 16
        assert await arrivals(one) == after
        assert (await app.client.post(f"{INSTANCES}/ollama-1/resume")).json()["draining"] is False
        assert await works(app, one)


async def runs(app: LiveApp, id: str, *, none: bool = False) -> bool:
    """Whether something runs on an instance, or nothing does."""
    return ((await instance(app, id))["in_flight"] == 0) == none


async def works(app: LiveApp, server: Emulator) -> bool:
    """Whether a server is given some of many questions."""
    already = await arrivals(server)
    assert await answers(app, *questions(f"after {already}", 8)) == [ANSWER] * 8
    return await arrivals(server) > already


async def test_an_instance_that_is_added_takes_work_and_one_that_is_removed_is_gone(
    serve: Callable[..., Any], pair: tuple[Emulator, Emulator]
) -> None:
    one, two = pair
    new = {"id": "gpu-2", "url": f"{two.url}/", "engine": "ollama", "slots": 2}
    async with serve(one) as app:
        added = await app.client.post(INSTANCES, json=new)
        assert added.status_code == 201
        assert (added.json()["health"], added.json()["address"]) == ("closed", two.url)
        assert await works(app, two)
        asked = asyncio.ensure_future(answers(app, *questions("removed", 8)))
        await until(lambda: runs(app, "gpu-2"))
        assert (await app.client.delete(f"{INSTANCES}/gpu-2")).status_code == 204
        assert await asked == [ANSWER] * 8
        assert [one["id"] for one in (await state(app))["instances"]] == ["ollama-1"]
        metrics = (await app.client.get("/metrics")).text
        assert "ollama-1" in metrics
        assert "gpu-2" not in metrics
        assert (await app.client.post(f"{INSTANCES}/gpu-2/resume")).status_code == 404


async def test_what_is_wrong_with_an_instance_is_said_until_it_is_well_again(
    serve: Callable[..., Any], pair: tuple[Emulator, Emulator]
) -> None:
    one, two = pair
    async with serve(one, two) as app:
        await one.fault("refuse")
        await until(lambda: says(app, "ollama-1", "engine_unreachable"))
        assert (await instance(app, "ollama-1"))["health"] in ("open", "half_open")
        assert await answers(app, *questions("one is down", 3)) == [ANSWER] * 3
        await one.clear()
        await until(lambda: says(app, "ollama-1", ""))
        await two.fault("gpu_lost", variant="ps_honest")
        await answers(app, *questions("on the CPU", 2))
        await until(lambda: says(app, "ollama-2", "on the CPU"))
        assert (await instance(app, "ollama-2"))["on_gpu"] < 1


async def says(app: LiveApp, id: str, reason: str) -> bool:
    said = (await instance(app, id))["reason"]
    return reason in said if reason else not said


async def test_only_an_operator_sees_and_changes_the_pool(
    serve: Callable[..., Any], pair: tuple[Emulator, Emulator]
) -> None:
    async with serve(pair[0], auth={"api_key": "operator-key-of-the-test"}) as app:
        made = await app.services.keys.create(
            name="r", tenant="local", roles=frozenset({Role.READER, Role.WRITER}), corpora=frozenset({"*"})
        )
        calls = {
            ("GET", POOL): None,
            ("POST", INSTANCES): {"id": "x", "url": "http://127.0.0.1:9", "engine": "ollama", "slots": 1},
            ("POST", f"{INSTANCES}/ollama-1/drain"): None,
            ("POST", f"{INSTANCES}/ollama-1/resume"): None,
            ("DELETE", f"{INSTANCES}/ollama-1"): None,
        }
        for (method, path), body in calls.items():
            for headers, status in (({}, 401), ({"Authorization": f"Bearer {made.secret}"}, 403)):
                answer = await app.client.request(method, path, json=body, headers=headers)
                assert answer.status_code == status, (method, path)
                assert answer.headers["content-type"] == "application/problem+json"
        operator = {"Authorization": "Bearer operator-key-of-the-test"}
        found = (await app.client.get(POOL, headers=operator)).json()
        assert [(one["id"], one["draining"]) for one in found["instances"]] == [("ollama-1", False)]


GOOD = {"id": "new", "url": "http://127.0.0.1:9", "engine": "openai", "slots": 4}


async def test_what_does_not_fit_is_refused_briefly_and_changes_nothing(
    serve: Callable[..., Any], pair: tuple[Emulator, Emulator]
) -> None:
    wrong: list[tuple[int, dict[str, Any]]] = [
        *((422, {"id": id}) for id in ("", "a b", "a/b", "é", ".", "x" * 65, "-a", "a\n", 3, None)),
        *((422, {"slots": slots}) for slots in (0, -1, MAX_SLOTS + 1, 1.5, "2", True, None)),
        *((422, {"engine": engine}) for engine in ("", "tgi", "scripted", None)),
        *(
            (422, {"url": url})
            for url in ("", "gpu1:11434", "ftp://a", "http://", "http://a b", "http://é", 1)
        ),
        *((422, {"url": f"http://a{tail}"}) for tail in ("?key=1", "#x", "\\b", "/\u202e", "x" * 400, ":1x")),
        *(
            (400, {"url": url})
            for url in ("http://[1::2::3]", "http://a:99999", "http://999.1.1.1", "http://a:0")
        ),
        (422, {"api_key": "k"}),
        (409, {"id": "ollama-1"}),
        (409, {"url": pair[0].url}),
    ]
    async with serve(pair[0]) as app:
        for status, change in wrong:
            answer = await app.client.post(INSTANCES, json=GOOD | change)
            assert answer.status_code == status, (change, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"
            assert len(answer.content) < 1024
        for name in GOOD.keys() - {"slots"}:
            partial = {key: value for key, value in GOOD.items() if key != name}
            assert (await app.client.post(INSTANCES, json=partial)).status_code == 422
        for path in ("nobody/drain", "nobody/resume", "..%2fx/drain"):
            assert (await app.client.post(f"{INSTANCES}/{path}")).status_code == 404
        assert (await app.client.delete(f"{INSTANCES}/nobody")).status_code == 404
        assert [one["id"] for one in (await state(app))["instances"]] == ["ollama-1"]


async def test_a_credential_in_an_address_is_used_and_never_shown(
    serve: Callable[..., Any], pair: tuple[Emulator, Emulator]
) -> None:
    one, two = pair
    secret = two.url.replace("http://", "http://operator:hush-hush@")
    async with serve(one) as app:
        added = await app.client.post(INSTANCES, json={"id": "b", "url": secret, "engine": "ollama"})
        assert (added.status_code, added.json()["address"]) == (201, two.url)
        shown = [added.text, (await app.client.get(POOL)).text, (await app.client.get("/metrics")).text]
        assert not any("hush-hush" in text or "operator:" in text for text in shown)


async def test_an_instance_that_is_down_may_be_added_and_says_so(
    serve: Callable[..., Any], pair: tuple[Emulator, Emulator]
) -> None:
    async with serve(pair[0]) as app:
        added = (await app.client.post(INSTANCES, json=GOOD)).json()
        assert (added["health"], added["reason"]) == ("open", "engine_unreachable")
        assert await answers(app, *questions("beside a dead one", 4)) == [ANSWER] * 4
