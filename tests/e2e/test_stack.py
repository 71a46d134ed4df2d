"""The stack of `make stack`, small: two replicas of one worker behind NGINX, and the page in a real Chromium.

A replica that a reader was on is killed, so that whatever comes next comes from the other one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser

from devstack import chroma, nginx, postgres, redis
from devstack.child import in_thread
from devstack.stack import Shape, Stack, stack
from tests.support.browser import Reader, launched, reading
from tests.support.needed import missing

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "a-key-of-these-tests"
SLOW = {
    "models": [
        {
            "name": Shape().model,
            "kv_bytes_per_token": 1,
            "speeds": {"load_s": 0.1, "prefill_tps": 1e6, "per_stream_tps": 12.0},
        }
    ],
    "reply": {"mode": "count"},
}


def question(first: int, last: int) -> str:
    return f"How long may I keep a borrowed book? Please count from {first} to {last}"


def counted(first: int, last: int) -> str:
    return " ".join(map(str, range(first, last + 1)))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def up() -> AsyncIterator[Stack]:
    if not (redis.program() and postgres.program() and nginx.program() and chroma.program()):
        missing("the stack needs Redis, PostgreSQL, Chroma and NGINX")
    shape = Shape(replicas=2, workers=1, instances=1, slots=8, knobs=SLOW, key=KEY)
    async with in_thread(stack(shape)) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with launched() as it:
        yield it


async def signed_in(reader: Reader) -> None:
    await reader.go()
    await reader.page.fill("#key", KEY)
    await reader.page.press("#key", "Enter")
    await reader.page.wait_for_selector("#sign-in:not([open])", state="attached")


async def writes(reader: Reader, word: str) -> None:
    await reader.page.wait_for_selector(f".turn:last-child .answer:has-text('{word}')")


async def shows(reader: Reader, text: str) -> None:
    await reader.ended()
    assert (await reader.answer()).split() == text.split()


def busy(up: Stack) -> str:
    """The replica that a stream is on, by what it tells of itself."""
    for part in up.named("api"):
        told = httpx.get(f"{part.address}/metrics", headers={"Authorization": f"Bearer {KEY}"}).text
        if any(
            line.startswith("libri_event_streams ") and float(line.split()[1]) for line in told.splitlines()
        ):
            return part.name
    raise AssertionError("no replica has a stream")


async def kill(up: Stack, name: str) -> None:
    """Kill a replica and keep it away."""
    up.parts[name].kill(stays_down=True)
    async with asyncio.timeout(30):
        while up.parts[name].child is not None:
            await asyncio.sleep(0.02)


async def back(up: Stack, name: str) -> None:
    await asyncio.to_thread(up.parts[name].start)


async def test_the_stack_answers_through_nginx_and_lets_no_stranger_in(up: Stack) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(base_url=up.front, headers=headers, timeout=60) as client:
        asked = {"question": question(10, 19)}
        answer = (await client.post("/api/v1/chat", json=asked)).json()
        assert (answer["answer"], answer["finish_reason"]) == (counted(10, 19), "stop")
        assert (await client.get("/api/v1/admin/pool")).status_code == 403  # operators go to a replica itself
        pool = (await client.get(f"{up.parts['api-2'].address}/api/v1/admin/pool")).json()
        assert pool["shared"]
    async with httpx.AsyncClient(base_url=up.front) as stranger:
        assert (await stranger.get("/api/v1/session")).status_code == 401


async def test_a_reload_is_answered_by_another_replica_with_no_token_lost_or_doubled(
    up: Stack, browser: Browser
) -> None:
    async with reading(browser, up.front) as reader:
        await signed_in(reader)
        await reader.ask(question(100, 199))
        await writes(reader, "110")
        was_on = busy(up)
        await kill(up, was_on)
        await reader.page.reload()
        await shows(reader, counted(100, 199))
        await back(up, was_on)


async def test_a_reader_whose_replica_dies_sees_the_answer_go_on(up: Stack, browser: Browser) -> None:
    async with reading(browser, up.front) as reader:
        await signed_in(reader)
        await reader.ask(question(300, 399))
        await writes(reader, "310")
        was_on = busy(up)
        await kill(up, was_on)
        await shows(reader, counted(300, 399))
        await back(up, was_on)


async def test_a_second_tab_follows_and_stops_the_answer_for_both(up: Stack, browser: Browser) -> None:
    async with reading(browser, up.front) as first:
        await signed_in(first)
        await first.ask(question(500, 699))
        await writes(first, "505")
        second = Reader(await first.page.context.new_page(), up.front)
        second.watch()
        await second.go()
        await second.page.click("#conversations li >> nth=0")
        await writes(second, "515")
        await second.page.click("#stop")
        for reader in (first, second):
            await reader.page.wait_for_selector("text=You stopped this answer.")
            assert "699" not in await reader.answer()
        assert second.errors == []
