"""A reader comes back to another replica: it goes on from what it has seen, or is told why not.

Two applications with a loop in common, one cluster of three Redis servers, one PostgreSQL; each has its own
folder and its own engine.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr
from redis.crc import key_slot

from backend.engines.base import Text
from backend.engines.scripted import Hold, ScriptedEngine, recite
from backend.infra.redis import open_redis
from tests.support.live_app import (
    DEFAULT,
    HOURS,
    Event,
    LiveApp,
    events,
    live_app,
    scripted,
    settings_in,
    text_of,
)
from tests.support.postgres import postgres_server
from tests.support.redis_server import RedisCluster, redis_cluster

pytestmark = pytest.mark.asyncio(loop_scope="module")
QUESTION = "When does the library open in the morning?"
ANSWER = "It opens at nine [1]. "
KEY = "the key of everybody here"
FORE = [Text(f"word{n} ") for n in range(30)]


@dataclass(frozen=True)
class Site:
    redis: RedisCluster
    apps: list[LiveApp]
    engines: list[ScriptedEngine]
    ann: httpx.Cookies
    bob: httpx.Cookies

    def hold(self) -> asyncio.Event:
        """Let every answer from now on wait after its first words."""
        release = asyncio.Event()
        for engine in self.engines:
            engine._scripts = ((*FORE, Hold(release), *recite(ANSWER)),)
        return release


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisCluster]:
    with redis_cluster() as running:
        yield running


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgres_server() as url:
        yield url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(
    redis: RedisCluster, database: str, tmp_path_factory: pytest.TempPathFactory, models_dir: Path
) -> AsyncIterator[Site]:
    folder = tmp_path_factory.mktemp("replicas")
    async with AsyncExitStack() as stack:
        apps, engines = [], [ScriptedEngine(recite(ANSWER)) for _ in "ab"]
        for name, engine in zip("ab", engines, strict=True):
            settings = settings_in(
                folder / name, models_dir, ingest={"poll_s": 0.2}, auth={"api_key": KEY, "secret": "s" * 32},
                redis={"url": redis.url, "timeout_s": 2.0, "ack_s": 1.0},
                chat={"retention_s": 120, "deadline_s": 60},
            )  # fmt: skip
            data = settings.data.model_copy(update={"database_url": SecretStr(database)})
            settings = settings.model_copy(update={"data": data})
            apps.append(await stack.enter_async_context(live_app(settings, scripted(engine))))
        await apps[0].put(HOURS)
        await _has_documents(apps[1])
        yield Site(redis, apps, engines, *[await _session(apps[0]) for _ in "xy"])


async def _has_documents(app: LiveApp) -> None:
    parts = app.services.ingestion.worker.derivation
    async with asyncio.timeout(120):
        while True:
            version = (await parts.catalogue.contents(DEFAULT)).version
            if [await index.held(DEFAULT) for index in (parts.dense, parts.lexical)] == [version] * 2:
                return
            await asyncio.sleep(0.05)


async def _session(app: LiveApp) -> httpx.Cookies:
    """Of a reader of its own."""
    async with httpx.AsyncClient(base_url=app.url) as browser:
        (await browser.post("/api/v1/session", json={"key": KEY})).raise_for_status()
        return browser.cookies


async def asked(app: LiveApp, who: httpx.Cookies, seen: int = 999, question: str = QUESTION) -> list[Event]:
    """The first events of an answer; then the reader's connection is lost."""
    got: list[Event] = []
    async with (
        httpx.AsyncClient(base_url=app.url, timeout=60, cookies=who) as reader,
        reader.stream("POST", "/api/v1/chat/stream", json={"question": question}) as response,
    ):
        assert response.status_code == 200, await response.aread()
        async for event in events(response):
            got.append(event)
            if len(got) >= seen:
                break
    return got


async def resumed(app: LiveApp, who: httpx.Cookies, run: str, last: str) -> list[Event]:
    """What comes after `last`; who is told to come again does."""
    async with httpx.AsyncClient(base_url=app.url, timeout=60, cookies=who) as reader, asyncio.timeout(90):
        while True:
            headers = {"Last-Event-ID": last}
            async with reader.stream("GET", f"/api/v1/runs/{run}/events", headers=headers) as response:
                if response.status_code == 503:
                    await asyncio.sleep(int(response.headers["retry-after"]))
                    continue
                assert response.status_code == 200, await response.aread()
                return [event async for event in events(response)]


async def refused(
    app: LiveApp, who: httpx.Cookies, run: str, last: Sequence[str | bytes] = (), query: str = ""
) -> httpx.Response:
    """The answer to a request with these headers as they are."""
    async with httpx.AsyncClient(base_url=app.url, timeout=60, cookies=who) as reader:
        headers = [("Last-Event-ID", one) for one in last]
        return await reader.get(f"/api/v1/runs/{run}/events{query}", headers=headers)  # type: ignore[arg-type]


async def test_every_place_of_an_answer_is_gone_on_from_elsewhere_and_nothing_is_shown_twice(
    site: Site,
) -> None:
    release = site.hold()
    first = await asked(site.apps[0], site.ann, seen=8)
    run = first[0].data["run_id"]
    places = [event.id for event in first if event.id]
    resuming = [
        asyncio.ensure_future(resumed(app, site.ann, run, last)) for last in places for app in site.apps
    ]
    release.set()
    whole = "".join(text.text for text in FORE) + ANSWER
    for last, got in zip(
        [last for last in places for _ in site.apps], await asyncio.gather(*resuming), strict=True
    ):
        before = [event for event in first if event.id][: places.index(last) + 1]
        assert got[0].name == "started"
        assert (text_of(before) + text_of(got)).strip() == whole.strip()
        assert [event.name for event in got if event.name in ("done", "error")] == ["done"]
        assert not {event.id for event in before} & {event.id for event in got[1:]}


ODD: list[Sequence[str | bytes]] = [
    ["nonsense"], ["1"], ["1-"], ["-1"], ["1-1-1"], ["01-1"], ["1-01"], ["+1-1"], ["1 - 1"], ["1-1,2-2"],
    ["1-1;"], ["1.0-1"], ["0x1-1"], ["١-١".encode()], ["1-1\xa0".encode("latin-1")], ["é".encode("latin-1")],
    ["9223372036854775808-1"], ["1-9223372036854775808"], ["9" * 5000], ["1-1", "1-2"], ["1-1", ""],
    ["None"], ["null"], ["*"], ["$"], ["-"], ["+"], ["(1-1"],
]  # fmt: skip
UNKNOWN = ["1-99999", "7-1", "9223372036854775807-9223372036854775807", "0-1", "1-0", "2-0"]


async def test_a_malformed_id_is_refused_before_anything_is_looked_up(site: Site) -> None:
    for last in ODD:
        answer = await refused(site.apps[0], site.ann, "0" * 32, last)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request"), last
    for name in ("Last-Event-ID", "last_event_id", "lastEventId"):
        for header in ([], ["1-1"]):
            answer = await refused(site.apps[0], site.ann, "0" * 32, header, f"?{name}=1-1")
            assert answer.status_code == 400


async def test_an_id_is_unknown_or_the_end_or_another_readers_at_either_replica(site: Site) -> None:
    site.engines[0]._scripts = site.engines[1]._scripts = (recite(ANSWER),)
    here, there = site.apps
    happened = await asked(here, site.ann)
    run, end = happened[0].data["run_id"], happened[-1].id or ""
    assert happened[-1].name == "done"
    for app in (there, here):
        for last in ([end], [end, end]):
            assert (await refused(app, site.ann, run, last)).status_code == 204, last
        for last in ("", "0-0"):
            assert text_of(await resumed(app, site.ann, run, last)) == text_of(happened)
        for unknown in UNKNOWN:
            answer = await refused(app, site.ann, run, [unknown])
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), unknown
        for who, which in ((site.bob, run), (site.ann, "0" * 32), (site.bob, "x" * 70)):
            answers = [await refused(app, who, which, last) for last in ([], [end], ["1-2"])]
            assert {answer.status_code for answer in answers} == {404}
            assert len({answer.text for answer in answers}) == 1, "a stranger learns nothing by asking"


async def test_an_answer_that_redis_has_lost_after_its_end_is_gone_everywhere(site: Site) -> None:
    site.engines[0]._scripts = site.engines[1]._scripts = (recite(ANSWER),)
    happened = await asked(site.apps[0], site.ann)
    run, last = happened[0].data["run_id"], happened[2].id or ""
    for server in site.redis.servers:
        server.forget()
    async with asyncio.timeout(90):
        for app in site.apps:
            while (answer := await refused(app, site.ann, run, [last])).status_code != 404:
                assert answer.status_code in (200, 503)
                await asyncio.sleep(0.3)


async def test_readers_of_one_tenant_who_ask_the_same_anywhere_share_one_answer(site: Site) -> None:
    release = site.hold()
    question = "When does the library open in the morning, if at all?"
    people = [site.ann, site.bob, *[await _session(site.apps[1]) for _ in range(4)]]
    asking = [
        asyncio.ensure_future(asked(site.apps[n % 2], who, question=question)) for n, who in enumerate(people)
    ]
    await asyncio.sleep(1)
    release.set()
    got = await asyncio.gather(*asking)
    assert len({text_of(one) for one in got}) == 1
    assert sorted(one[0].data["cache"] for one in got) == ["joined"] * 5 + ["miss"]


async def test_while_the_log_cannot_be_asked_a_reader_is_told_to_come_again(site: Site) -> None:
    here, there = site.apps
    release = site.hold()
    first = await asked(here, site.ann, seen=5)
    run, last = first[0].data["run_id"], first[-1].id or ""
    for server in site.redis.servers:
        server.hang()
    try:
        for which in (run, "0" * 32):
            answer = await refused(there, site.ann, which, [last])
            assert (answer.status_code, answer.json()["code"]) == (503, "log_unavailable")
            assert int(answer.headers["retry-after"]) >= 1
        assert (await refused(there, site.ann, run, ["nonsense"])).status_code == 400
        release.set()
        rest = await resumed(here, site.ann, run, last)
        assert (text_of(first) + text_of(rest)).strip().endswith(ANSWER.strip()), "who made it has it"
    finally:
        for server in site.redis.servers:
            server.go_on()
    async with asyncio.timeout(60):
        while (answer := await refused(there, site.ann, run, [last])).status_code == 503:
            await asyncio.sleep(0.2)
    assert answer.status_code == 200
    assert answer.text.count("event: done") == 1


async def test_what_belongs_together_lies_in_one_slot_and_nothing_else_is_in_redis(site: Site) -> None:
    site.engines[0]._scripts = site.engines[1]._scripts = (recite(ANSWER),)
    async with httpx.AsyncClient(base_url=site.apps[1].url, timeout=60, cookies=site.bob) as reader:
        asking = {"question": QUESTION}
        answer = await reader.post("/api/v1/chat", json=asking, headers={"Idempotency-Key": "k"})
        assert answer.status_code == 200
    slots: dict[str, set[int]] = {}
    nodes = set()
    for server in site.redis.servers:
        async with open_redis(server.url, timeout_s=10) as client:
            async for key in client.scan_iter(count=1000):
                found = re.fullmatch(r"libri:\{(\w+:)?(\w+)\}(:.*)?", key)
                assert found, key
                slots.setdefault(f"{found[1] or ''}{found[2]}", set()).add(key_slot(key.encode()))
                nodes.add(server.port)
    assert {len(used) for used in slots.values()} == {1}
    assert slots.keys() >= {"pool", "runs"}
    kinds = {tag.partition(":")[0] for tag in slots if ":" in tag}
    assert kinds == {"run", "claim"}
    assert len(nodes) > 1, "not all of it is one server's"
