"""`libriassist pool` beside a running server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from backend.cli import pool
from backend.config import Settings
from backend.core.errors import Conflict, InvalidRequest, NotFound
from tests.support.console import environment_in, run
from tests.support.emulator import Emulator, emulator
from tests.support.live_app import LiveApp, live_app, settings_in

KEY = "operator-key-of-the-test"
DEAD = "http://127.0.0.1:9"


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Emulator, Emulator]]:
    async with emulator(time_scale=0.01) as one, emulator(time_scale=0.01) as two:
        yield one, two


@pytest.fixture
def settings(pair: tuple[Emulator, Emulator], tmp_path: Path, models_dir: Path) -> Settings:
    engine = {"backend": "ollama", "ollama_urls": [pair[0].url], "slots": 3}
    return settings_in(tmp_path / "data", models_dir, auth={"api_key": KEY}, engine=engine)


@pytest.fixture
async def app(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LiveApp]:
    monkeypatch.setenv("COLUMNS", "200")
    async with live_app(settings, instances=None) as live:
        where = {"url": live.url, "token": KEY}
        (settings.data.dir / "server.json").write_bytes(orjson.dumps(where))
        yield live


async def table(settings: Settings, capsys: pytest.CaptureFixture[str]) -> dict[str, list[str]]:
    """The words of each line of the status, by the first of them."""
    capsys.readouterr()
    await pool.status(settings)
    return {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines()}


async def test_the_pool_is_shown_and_changed_beside_a_running_server(
    app: LiveApp, settings: Settings, pair: tuple[Emulator, Emulator], capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = pair
    assert await pool.status(settings) == 0
    assert "0 waiting; 1 process" in capsys.readouterr().out
    assert (await table(settings, capsys))["ollama-1"][:7] == [
        "ollama-1", one.url, "in", "use", "0", "of", "3"
    ]  # fmt: skip
    assert await pool.drain(settings, "ollama-1") == 0
    assert await pool.add(settings, {"id": "gpu-2", "url": two.url, "kind": "ollama"}) == 0
    told = capsys.readouterr().out.splitlines()
    assert told == ["ollama-1 takes no more requests; 0 still run there.", "gpu-2 is in the pool."]
    both = await table(settings, capsys)
    assert both["ollama-1"][:6] == ["ollama-1", one.url, "draining", "0", "of", "3"]
    assert both["gpu-2"][:7] == ["gpu-2", two.url, "in", "use", "0", "of", "3"]
    assert await pool.resume(settings, "ollama-1") == 0
    assert await pool.remove(settings, "gpu-2") == 0
    left = await table(settings, capsys)
    assert left["ollama-1"][2:4] == ["in", "use"]
    assert "gpu-2" not in left


async def test_an_instance_that_is_avoided_says_why_and_counts_as_a_failure(
    app: LiveApp, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await pool.add(settings, {"id": "dead", "url": DEAD, "kind": "openai", "slots": 1}) == 1
    assert "dead is in the pool, but is avoided: refuses connections" in capsys.readouterr().out
    assert "avoided: refuses connections" in " ".join((await table(settings, capsys))["dead"])
    assert await pool.status(settings) == 1


async def test_errors_are_errors(
    app: LiveApp, settings: Settings, pair: tuple[Emulator, Emulator], capsys: pytest.CaptureFixture[str]
) -> None:
    for act in (pool.drain, pool.resume, pool.remove):
        with pytest.raises(NotFound, match="no such instance"):
            await act(settings, "a b?c")
    for id, url in (("ollama-1", DEAD), ("other", f"{pair[0].url}/")):
        with pytest.raises(Conflict):
            await pool.add(settings, {"id": id, "url": url, "kind": "ollama", "slots": 1})
    for id, slots, where in (("a b", 1, "body.id"), ("x", 0, "body.slots")):
        with pytest.raises(InvalidRequest, match=where):
            await pool.add(settings, {"id": id, "url": DEAD, "kind": "ollama", "slots": slots})
    assert capsys.readouterr().out == ""


def test_without_a_server_the_command_says_so(tmp_path: Path, models_dir: Path) -> None:
    done = run(environment_in(tmp_path / "data", models_dir), "pool", "status")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no server runs with this data folder" in done.stderr
