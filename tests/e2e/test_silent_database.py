"""PostgreSQL that accepts and says nothing: questions are answered all the same, keys go on working."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from pydantic import SecretStr
from sqlalchemy import make_url

from backend.core.types import Role
from backend.engines.scripted import ScriptedEngine, recite
from tests.support.live_app import HOURS, LiveApp, live_app, scripted, settings_in, text_of
from tests.support.postgres import postgres_server

QUESTION = "When does the library open in the morning?"
ANSWER = "It opens at nine [1]."
SOON_S = 5.0
"""Far below the waits of a driver; a busy machine may take what is left."""


@pytest.fixture
def database() -> Iterator[str]:
    with postgres_server() as url:
        yield url


@pytest.fixture
async def app(tmp_path: Path, models_dir: Path, database: str) -> AsyncIterator[LiveApp]:
    settings = settings_in(tmp_path / "data", models_dir, auth={"api_key": "operator-key"})
    data = settings.data.model_copy(update={"database_url": SecretStr(database)})
    settings = settings.model_copy(update={"data": data})
    async with live_app(settings, scripted(ScriptedEngine(recite(ANSWER)))) as live:
        await live.put(HOURS)
        yield live


@contextmanager
def silent(database: str) -> Iterator[None]:
    """Every process of the server stands still."""
    port = make_url(database).port
    found = [c.pid for c in psutil.net_connections("tcp") if c.status == "LISTEN" and c.laddr.port == port]
    postmaster = psutil.Process(next(pid for pid in found if pid))
    stopped: list[psutil.Process] = []
    try:
        postmaster.send_signal(signal.SIGSTOP)
        stopped.append(postmaster)
        for child in postmaster.children(recursive=True):
            child.send_signal(signal.SIGSTOP)
            stopped.append(child)
        yield
    finally:
        for process in stopped:
            process.send_signal(signal.SIGCONT)


async def ask(app: LiveApp, key: str = "operator-key") -> tuple[str, float, list[str]]:
    """The answer, the seconds that it took, and what is said to be missing."""
    began = time.monotonic()
    happened = await app.collect(
        "POST",
        "/api/v1/chat/stream",
        json={"question": QUESTION},
        headers={"Authorization": f"Bearer {key}"},
    )
    return text_of(happened), time.monotonic() - began, happened[-1].data["degraded"]


async def new_key(app: LiveApp) -> str:
    made = await app.services.keys.create(
        name="k", tenant="local", roles=frozenset({Role.READER}), corpora=frozenset({"*"})
    )
    return made.secret


async def test_a_database_that_says_nothing_delays_no_answer(app: LiveApp, database: str) -> None:
    await ask(app)
    with silent(database):
        for _ in range(3):
            said, seconds, degraded = await ask(app)
            assert (said, degraded) == (ANSWER, ["history"])
            assert seconds < SOON_S


async def test_a_key_that_was_used_a_moment_ago_goes_on_working(app: LiveApp, database: str) -> None:
    secret = await new_key(app)
    await ask(app, secret)
    await asyncio.sleep(5.5)  # no longer believed without being looked up
    with silent(database):
        for _ in range(2):
            said, seconds, _ = await ask(app, secret)
            assert said == ANSWER
            assert seconds < SOON_S


async def test_thirty_readers_do_not_wait_for_each_other(app: LiveApp, database: str) -> None:
    await ask(app)
    with silent(database):
        for _ in range(2):
            found = await asyncio.gather(*[ask(app) for _ in range(30)])
            assert {said for said, _, _ in found} == {ANSWER}
            assert max(seconds for _, seconds, _ in found) < 2 * SOON_S


async def test_a_credential_that_cannot_be_looked_up_is_told_so_soon(app: LiveApp, database: str) -> None:
    secret = await new_key(app)
    with silent(database):
        began = time.monotonic()
        answer = await app.client.post(
            "/api/v1/chat", json={"question": QUESTION}, headers={"Authorization": f"Bearer {secret}"}
        )
    assert answer.status_code == 503
    assert time.monotonic() - began < 2 * SOON_S


async def test_after_it_speaks_again_turns_are_kept(app: LiveApp, database: str) -> None:
    await ask(app)
    with silent(database):
        assert (await ask(app))[2] == ["history"]
    async with asyncio.timeout(30):
        while (await ask(app))[2]:
            await asyncio.sleep(0.2)
