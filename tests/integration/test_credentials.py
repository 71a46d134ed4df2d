"""Credentials in the addresses of model servers, over real sockets: they arrive, or are refused first."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from backend.core.errors import EngineError
from backend.core.instances import KINDS
from backend.engines.base import Endpoint
from backend.engines.dialects import DIALECTS
from backend.engines.ollama import OllamaEngine
from backend.engines.ollama_control import OllamaControl
from backend.engines.openai_compat import OpenAICompatEngine
from backend.infra.http import open_session
from backend.pool.registry import KIND
from backend.pool.shared_notes.memory import MemoryNotes
from tests.support.live_app import LiveApp, live_app, settings_in

INSTANCES = "/api/v1/admin/pool/instances"


class Server:
    """Tells what it was sent to prove who asks, and lists nothing."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.port = 0

    async def answer(self, request: web.Request) -> web.Response:
        self.seen.add(request.headers.get("Authorization", ""))
        return web.json_response({"models": [], "data": []})


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    found = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.port = runner.addresses[0][1]
    yield found
    await runner.cleanup()


def basic(pair: str) -> str:
    return "Basic " + base64.b64encode(pair.encode()).decode()


@pytest.mark.parametrize("kind", ["ollama", "openai"])
@pytest.mark.parametrize(
    ("user", "sent"),
    [
        ("", ""),
        ("u:p@", basic("u:p")),
        ("token@", basic("token:")),
        (":p@", basic(":p")),
        ("@", ""),
        ("a%40b:p%2Fw%3A%25@", basic("a@b:p/w:%")),
        ("%C3%A9:%E2%82%AC@", basic("é:€")),
    ],
)
async def test_what_stands_in_the_address_is_sent(kind: str, user: str, sent: str, server: Server) -> None:
    endpoint = Endpoint(f"http://{user}127.0.0.1:{server.port}")
    async with open_session() as session:
        engines = {
            "ollama": OllamaEngine(session, context_tokens=512),
            "openai": OpenAICompatEngine(session, dialect=DIALECTS["openai"]),
        }
        await engines[kind].models(endpoint)
        await engines[kind].loaded(endpoint)
    assert server.seen == {sent}
    assert "@" not in endpoint.address


@pytest.fixture
async def app(tmp_path: Path, models_dir: Path) -> AsyncIterator[LiveApp]:
    settings = settings_in(
        tmp_path / "data", models_dir, engine={"openai_api_key": "a-key", "ollama_urls": ()}
    )
    async with live_app(settings, instances=None) as live:
        yield live


async def add(app: LiveApp, id: str, url: str, kind: str, **more: object) -> tuple[int, str]:
    response = await app.client.post(INSTANCES, json={"id": id, "url": url, "kind": kind, **more})
    return response.status_code, response.text


async def test_the_configured_key_goes_to_nobody_who_is_added_later(app: LiveApp, server: Server) -> None:
    host = f"127.0.0.1:{server.port}"
    for number, kind in enumerate(KINDS):
        assert (await add(app, f"i{number}", f"http://{host}/{number}", kind))[0] == 201
    assert server.seen == {""}, "each has the key that was given with it, or none"
    assert (await add(app, "keyed", f"http://{host}/keyed", "vllm", key="its-own"))[0] == 201
    assert server.seen == {"", "Bearer its-own"}
    assert (await add(app, "named", f"http://u:p@{host}/named", "vllm"))[0] == 201
    assert server.seen == {"", "Bearer its-own", basic("u:p")}


async def test_a_key_is_shown_nowhere(app: LiveApp, server: Server, caplog: pytest.LogCaptureFixture) -> None:
    status, said = await add(app, "keyed", f"http://127.0.0.1:{server.port}", "openai", key="hunter2")
    assert status == 201
    shown = (await app.client.get("/api/v1/admin/pool")).text
    _, twice = await add(app, "keyed", f"http://127.0.0.1:{server.port}", "openai", key="hunter2")
    _, wrong = await add(app, "other", "http://127.0.0.1:9", "openai", key="hunter2 \n")
    for text in (said, shown, twice, wrong, caplog.text, repr(app.services.operator.registry.instances)):
        assert "hunter2" not in text


async def test_an_operator_may_not_add_an_address_with_credentials_beside_a_key(
    app: LiveApp, server: Server
) -> None:
    host = f"127.0.0.1:{server.port}"
    for kind in KINDS:
        for user in ("u:hunter2@", "u@", ":hunter2@", "u%20:hunter2@"):
            status, said = await add(app, "one", f"http://{user}{host}", kind, key="hunter3")
            assert status == 400, said
            assert "credentials" in said
            assert "hunter" not in said
    assert (await app.client.get("/api/v1/admin/pool")).json()["instances"] == []
    assert server.seen == set()


@pytest.mark.parametrize("url", ["http://u%0a:p@h:1", "http://u:p%0d@h", "http://h:99999", "http://1.2.3:4"])
async def test_what_no_client_could_send_is_refused_too(url: str, app: LiveApp) -> None:
    assert (await add(app, "one", url, "openai"))[0] in (400, 422)
    assert (await app.client.get("/api/v1/admin/pool")).json()["instances"] == []


async def test_a_note_that_cannot_be_made_into_an_instance_is_left_out(
    tmp_path: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    notes: dict[str, dict[str, Any]] = {
        "both": {"state": "active", "url": "http://u:hunter2@h:1", "kind": "openai", "sealed": "hunter2"},
        "kind": {"state": "active", "url": "http://h:2", "engine": "tgi", "slots": 1},
        "less": {"state": "active", "url": "http://h:3"},
        "good": {"state": "active", "url": "http://127.0.0.1:9", "engine": "openai", "slots": 1},
    }
    board = MemoryNotes()
    for id, note in notes.items():
        await board.change(KIND, id, lambda _, note=note: note)
    monkeypatch.setattr("backend.wiring.pool.MemoryNotes", lambda *_: board)
    settings = settings_in(
        tmp_path / "data", models_dir, engine={"openai_api_key": "a-key", "ollama_urls": ()}
    )
    async with live_app(settings, instances=None) as app:
        shown = (await app.client.get("/api/v1/admin/pool")).json()["instances"]
    assert [one["id"] for one in shown] == ["good"]
    said = [record for record in caplog.records if "left out" in record.getMessage()]
    assert sorted(record.instance for record in said) == ["both", "kind", "less"], "once each"
    assert "hunter2" not in caplog.text


async def test_settings_with_both_are_named_and_the_others_serve(
    tmp_path: Path, models_dir: Path, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    engine = {
        "backend": "openai",
        "openai_api_key": "a-key",
        "openai_urls": [f"http://u:hunter2@127.0.0.1:{server.port}", f"http://localhost:{server.port}"],
    }
    async with live_app(settings_in(tmp_path / "data", models_dir, engine=engine), instances=None) as app:
        shown = (await app.client.get("/api/v1/admin/pool")).json()["instances"]
    assert [one["id"] for one in shown] == ["openai-2"]
    (said,) = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert said.startswith("LIBRI_ENGINE__OPENAI_URLS: http://**********@127.0.0.1")
    assert server.seen == {"Bearer a-key"}


async def test_instances_of_several_kinds_have_a_key_each(
    tmp_path: Path, models_dir: Path, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    host = f"http://127.0.0.1:{server.port}"
    instances = [
        {"id": "gpu", "kind": "vllm", "url": f"{host}/gpu", "key": "key-of-gpu", "slots": 3},
        {"id": "mac", "kind": "mlx", "url": f"{host}/mac/v1", "key": "key-of-mac", "models": ["m"]},
        {"id": "box", "kind": "ollama", "url": f"http://u:p%40w@127.0.0.1:{server.port}/box"},
        {
            "id": "both",
            "kind": "openai",
            "url": f"http://u:hunter2@127.0.0.1:{server.port}/x",
            "key": "hunter3",
        },
        {"id": "gpu", "kind": "openai", "url": f"{host}/twice"},
        {"id": "odd", "kind": "tgi", "url": f"{host}/odd"},
    ]
    engine = {"instances": json.dumps(instances, indent=1), "ollama_urls": ()}
    async with live_app(settings_in(tmp_path / "data", models_dir, engine=engine), instances=None) as app:
        shown = (await app.client.get("/api/v1/admin/pool")).json()["instances"]
        config = (await app.client.get("/config")).text
    assert [(one["id"], one["kind"], one["slots"]) for one in shown] == [
        ("gpu", "vllm", 3), ("mac", "mlx", 1), ("box", "ollama", 1)
    ]  # fmt: skip
    assert server.seen == {"Bearer key-of-gpu", "Bearer key-of-mac", basic("u:p@w")}
    said = [record for record in caplog.records if "left out" in record.getMessage()]
    assert [record.instance for record in said] == ["both", "gpu", "odd"]
    for secret in ("hunter", "key-of", "p%40w", "p@w"):
        assert secret not in config + caplog.text + json.dumps(shown)


async def test_credentials_follow_no_redirect(server: Server) -> None:
    """An address that was taken over may not pass on what is sent to it."""
    elsewhere = web.Application()

    async def moved(request: web.Request) -> web.Response:
        raise web.HTTPTemporaryRedirect(f"http://localhost:{server.port}{request.path}")

    elsewhere.router.add_route("*", "/{path:.*}", moved)
    runner = web.AppRunner(elsewhere)
    await runner.setup()
    await (site := web.TCPSite(runner, "127.0.0.1", 0)).start()
    port = runner.addresses[0][1]
    async with open_session() as session:
        for endpoint in (
            Endpoint(f"http://127.0.0.1:{port}", "key"),
            Endpoint(f"http://u:p@127.0.0.1:{port}"),
        ):
            engines = [OpenAICompatEngine(session, dialect=dialect) for dialect in DIALECTS.values()]
            for engine in [*engines, OllamaEngine(session, context_tokens=512)]:
                with pytest.raises(EngineError):
                    await engine.models(endpoint)
            with pytest.raises(EngineError):
                await OllamaControl().list(endpoint)
    await site.stop()
    await runner.cleanup()
    assert server.seen == set()
