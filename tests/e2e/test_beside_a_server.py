"""Commands beside a running server, in the test's own process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from backend.cli.client import running_server
from backend.cli.doctor import doctor
from backend.config import Settings
from backend.core.errors import StorageUnavailable
from backend.services import Health
from tests.support.live_app import LiveApp, live_app, settings_in

KEY = "operator-key-of-the-test"


@pytest.fixture
def settings(tmp_path: Path, models_dir: Path) -> Settings:
    return settings_in(tmp_path / "data", models_dir, auth={"api_key": KEY})


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[LiveApp]:
    async with live_app(settings) as live:
        yield live


def say_where(app: LiveApp, token: str) -> None:
    folder = app.services.settings.data.dir
    (folder / "server.json").write_bytes(orjson.dumps({"url": app.url, "token": token}))


async def test_doctor_prints_what_it_found_even_when_the_server_refuses_it(
    app: LiveApp, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    say_where(app, "a token of an earlier start")
    assert await doctor(settings) == 1
    printed = capsys.readouterr().out
    assert "disk" in printed
    assert "server" in printed


async def test_the_servers_own_errors_are_errors_and_its_broken_checks_are_not(
    app: LiveApp, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    say_where(app, KEY)

    async def broken() -> Health:
        return Health(ok=False, needed=True, latency_s=0.0, detail="gone")

    async def no_sql(*_: object, **__: object) -> None:
        raise StorageUnavailable("the database does not answer")

    monkeypatch.setitem(app.services.checks, "retrieval", broken)  # type: ignore[arg-type]
    monkeypatch.setattr(app.services.catalogue, "documents", no_sql)
    async with running_server(settings) as server:
        assert (await server.health())["retrieval"]["detail"] == "gone"
        with pytest.raises(StorageUnavailable):
            await server.json("GET", "/api/v1/documents")
