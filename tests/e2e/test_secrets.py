"""Secrets that change, and replicas that have nothing in common but a database."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from backend.config import Settings
from backend.core.errors import StorageUnavailable
from backend.core.types import Role
from backend.infra.sql import open_engine, transaction
from backend.wiring.services import open_services
from tests.support.databases import postgres_url, sqlite_url
from tests.support.live_app import LiveApp, live_app, settings_in

__all__ = ["postgres_url"]

OLD, NEW, THIRD = (f"{one}-secret-of-the-test" for one in ("old", "new", "third"))
OPERATOR = "operator-key-of-the-test"
SESSION = "/api/v1/session"
Start = Callable[..., Any]


@pytest.fixture
def start(tmp_path: Path, models_dir: Path) -> Start:
    """An application on one folder, with these settings of `auth`."""
    return lambda **auth: live_app(settings_in(tmp_path / "data", models_dir, auth=auth))


async def make_key(app: LiveApp, *roles: Role) -> str:
    made = await app.services.keys.create(
        name="k", tenant="local", roles=frozenset(roles or (Role.READER,)), corpora=frozenset({"*"})
    )
    return made.secret


async def status(app: LiveApp, **headers: str) -> int:
    """Of who asks, by these headers alone."""
    async with httpx.AsyncClient(base_url=app.url, timeout=60) as client:
        return (await client.get(SESSION, headers=headers)).status_code


async def cookie_for(app: LiveApp, key: str) -> str:
    async with httpx.AsyncClient(base_url=app.url, timeout=60) as client:
        return (await client.post(SESSION, json={"key": key})).headers["set-cookie"].partition(";")[0]


@pytest.mark.parametrize("name", ["secret", "cookie_secret"])
async def test_another_cookie_secret_ends_cookies_and_no_key(start: Start, name: str) -> None:
    async with start(**{name: OLD}) as app:
        key = await make_key(app)
        cookie = await cookie_for(app, key)
        assert await status(app, authorization=f"Bearer {key}") == 200
    async with start(**{name: NEW}) as app:
        assert await status(app, authorization=f"Bearer {key}") == 200
        assert await status(app, cookie=cookie) == 401
        assert await status(app, cookie=await cookie_for(app, key)) == 200


async def test_while_a_secret_is_changed_nobody_has_to_sign_in(start: Start) -> None:
    async with start(secret=OLD, api_key=OPERATOR) as app:
        key = await make_key(app)
        cookies = [await cookie_for(app, key), await cookie_for(app, OPERATOR)]
    async with start(secret=f"{NEW},{THIRD},{OLD}", api_key=OPERATOR) as app:
        renewed = []
        for cookie in cookies:
            assert await status(app, cookie=cookie) == 200
            async with httpx.AsyncClient(base_url=app.url, timeout=60) as client:
                page = await client.get("/", headers={"cookie": cookie})
                renewed.append(page.headers["set-cookie"].partition(";")[0])
    async with start(secret=NEW, api_key=OPERATOR) as app:
        assert [await status(app, cookie=cookie) for cookie in cookies] == [401, 401]
        assert [await status(app, cookie=cookie) for cookie in renewed] == [200, 200]


async def test_a_rotation_from_the_former_name_to_the_new_one_loses_nothing(start: Start) -> None:
    async with start(cookie_secret=OLD) as app:
        key = await make_key(app)
        cookie = await cookie_for(app, key)
    async with start(secret=NEW, cookie_secret=OLD) as app:
        assert await status(app, cookie=cookie) == 200
        assert await status(app, authorization=f"Bearer {key}") == 200


@pytest.fixture(params=["sqlite", "postgres"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    if request.param == "sqlite":
        yield sqlite_url(tmp_path)
        return
    url: str = request.getfixturevalue("postgres_url")
    engine = open_engine(url)
    async with transaction(engine) as connection:
        await connection.execute(text("DROP SCHEMA public CASCADE"))
        await connection.execute(text("CREATE SCHEMA public"))
    await engine.dispose()
    yield url


@asynccontextmanager
async def two(folder: Path, models: Path, database: str, **auth: str) -> AsyncIterator[tuple[LiveApp, ...]]:
    """Two replicas: a folder each, one database; they start together where the database takes turns."""
    async with AsyncExitStack() as stack:
        places = [{"dir": folder / name, "models_dir": models} for name in ("one", "two")]
        apps = [live_app(Settings(data=one | {"database_url": database}, auth=auth)) for one in places]  # type: ignore[arg-type]
        if database.startswith("postgresql"):
            yield tuple(await asyncio.gather(*map(stack.enter_async_context, apps)))
        else:
            yield tuple([await stack.enter_async_context(app) for app in apps])


async def test_replicas_with_a_folder_each_know_each_others_keys_and_cookies(
    tmp_path: Path, models_dir: Path, database: str
) -> None:
    async with two(tmp_path, models_dir, database) as (one, other):
        key = await make_key(one)
        assert await status(other, authorization=f"Bearer {key}") == 200
        cookie = await cookie_for(other, key)
        assert await status(one, cookie=cookie) == 200
    assert not list(tmp_path.glob("*/secret"))
    async with two(tmp_path, models_dir, database) as (one, other):
        assert await status(one, cookie=cookie) == await status(other, cookie=cookie) == 200
    async with two(tmp_path, models_dir, database, secret=NEW) as (one, other):
        assert await status(one, cookie=cookie) == 401
        assert await status(one, authorization=f"Bearer {key}") == 200
        fresh = await cookie_for(one, key)
        assert await status(other, cookie=fresh) == 200


async def test_while_the_shared_database_is_down_no_secret_is_made_elsewhere(
    tmp_path: Path, models_dir: Path
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        url = f"postgresql://libri@127.0.0.1:{taken.getsockname()[1]}/postgres"
        data = {"dir": tmp_path / "data", "models_dir": models_dir, "database_url": url}
        with pytest.raises(StorageUnavailable, match="LIBRI_DATA__DATABASE_URL"):
            async with open_services(Settings(data=data)):  # type: ignore[arg-type]
                pass
    assert not (tmp_path / "data" / "secret").exists()


async def test_the_secret_of_a_folder_becomes_that_of_the_shared_database(
    tmp_path: Path, models_dir: Path, database: str
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "secret").write_text(f"{name}-secret-that-an-earlier-release-made\n")
    async with two(tmp_path, models_dir, database) as (one, other):
        cookie = await cookie_for(other, await make_key(one))
        assert await status(one, cookie=cookie) == 200
