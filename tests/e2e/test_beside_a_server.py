"""Commands beside a running server, in the test's own process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from backend.cli.client import running_server
from backend.cli.doctor import doctor
from backend.cli.ingest import read_into
from backend.cli.library import Served
from backend.config import Settings
from backend.core.errors import StorageUnavailable
from backend.services import Health
from tests.support.live_app import LiveApp, live_app, settings_in
from tests.unit.ingest.test_folder import write

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


async def test_folders_go_through_the_server_as_into_the_data_folder(
    app: LiveApp, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    say_where(app, KEY)
    one, two = (write(tmp_path / name, "README.md", text=f"All about {name}.") for name in ("one", "two"))
    write(one, "empty.md", text=" ")
    async with running_server(settings) as server:
        library = Served(server, "default", settings.server.max_upload_bytes)
        assert await read_into(library, [one, two], prune=True, sure=False) == 1
        first = await library.documents()
        assert [document.name for document in first] == ["README.md", "two/README.md"]
        assert [item["name"] for item in await library.failed()] == ["empty.md"]
        (one / "empty.md").unlink()
        (one / "README.md").rename(one / "read me first.md")
        (two / "README.md").unlink()
        assert await read_into(library, [one, two], prune=True, sure=True) == 0
        (renamed,) = await library.documents()
    assert (renamed.id, renamed.created) == (first[0].id, first[0].created)
    assert (renamed.name, renamed.origin) == ("read me first.md", (one / "read me first.md").as_uri())
    assert "1 removed, their files are gone: two/README.md" in capsys.readouterr().err


async def test_origins_that_are_no_places_or_too_few_are_refused(app: LiveApp) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    files = [("file", (f"{n}.md", b"text")) for n in range(2)]
    for origins in (["file:///a.md"], ["file:///a.md", "/b.md"], ["file:///a.md", "file:///b\nc.md"]):
        sent = await app.client.post(
            "/api/v1/documents", files=files, data={"origin": origins}, headers=headers
        )
        assert sent.status_code in (400, 422), origins
    listed = await app.client.get("/api/v1/documents", headers=headers)
    assert listed.json()["documents"] == []
