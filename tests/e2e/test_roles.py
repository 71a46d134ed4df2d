"""What each role opens: the tenant's border ends all but the operator's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backend.__main__ import main
from backend.cli.keys import create
from backend.core.types import Role
from backend.engines.scripted import ScriptedEngine, recite
from tests.support.live_app import LiveApp, live_app, scripted, settings_in

API_KEY = "operator-key-of-the-test"
SCRAPER = "scraper-token-of-the-test"
POOL = "/api/v1/admin/pool"
OF_ALL_TENANTS = [
    ("GET", POOL),
    ("POST", f"{POOL}/instances"),
    ("POST", f"{POOL}/instances/scripted-1/drain"),
    ("POST", f"{POOL}/instances/scripted-1/resume"),
    ("DELETE", f"{POOL}/instances/scripted-1"),
    ("GET", "/config"),
    ("GET", "/health/deep"),
    ("GET", "/metrics"),
]
LET_IN = (200, 503)  # a busy machine may be too slow for a check of /health/deep
NEW = {"id": "x", "url": "http://127.0.0.1:9", "engine": "ollama", "slots": 1}


@pytest.fixture
async def app(tmp_path: Path, models_dir: Path) -> AsyncIterator[LiveApp]:
    auth = {"api_key": API_KEY, "metrics_token": SCRAPER, "metrics_networks": "10.0.0.0/8,fd00::/8"}
    server = {"trusted_proxies": "127.0.0.1"}
    settings = settings_in(tmp_path / "data", models_dir, auth=auth, server=server)
    async with live_app(settings, scripted(ScriptedEngine(recite("x")))) as live:
        yield live


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def key_of(app: LiveApp, *roles: Role, tenant: str = "local") -> str:
    made = await app.services.keys.create(
        name="k", tenant=tenant, roles=frozenset(roles), corpora=frozenset({"*"})
    )
    return made.secret


async def test_an_admin_of_a_tenant_neither_sees_nor_changes_what_is_of_all(app: LiveApp) -> None:
    everything_else = [role for role in Role if role is not Role.OPERATOR]
    for tenant in ("local", "shop"):
        key = await key_of(app, *everything_else, tenant=tenant)
        signed_in = await app.client.post("/api/v1/session", json={"key": key})
        cookie = {"Cookie": signed_in.headers["set-cookie"].partition(";")[0]}
        app.client.cookies.clear()
        for headers in (bearer(key), cookie):
            for method, path in OF_ALL_TENANTS:
                body = NEW if path.endswith("/instances") else None
                answer = await app.client.request(method, path, json=body, headers=headers)
                assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), (method, path)
                assert answer.json()["detail"] == "this needs the role operator"
    state = await app.services.pool.status()
    assert [(one.id, one.draining) for one in state.instances] == [("scripted-1", False)]


async def test_a_key_made_at_the_command_line_may_be_an_operators(
    app: LiveApp, capsys: pytest.CaptureFixture[str]
) -> None:
    await create(app.services.settings, "ops", "shop", [Role.OPERATOR], [])
    key = capsys.readouterr().out.strip()
    for method, path in OF_ALL_TENANTS:
        if method == "GET":
            assert (await app.client.get(path, headers=bearer(key))).status_code in LET_IN, path
    drained = await app.client.post(f"{POOL}/instances/scripted-1/drain", headers=bearer(key))
    assert drained.json()["draining"]
    assert (await app.client.get("/api/v1/models", headers=bearer(key))).status_code == 403


@pytest.mark.parametrize("role", ["operator", "OPERATOR", "Operator"])
def test_a_role_is_named_in_any_case(
    role: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIBRI_DATA__DIR", str(tmp_path))
    assert main(["keys", "create", "ops", "--role", role]) == 0
    assert main(["keys", "list"]) == 0
    assert "operator" in capsys.readouterr().out


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_scraper_shows_its_token(app: LiveApp, method: str) -> None:
    async def status(headers: dict[str, str], path: str = "/metrics") -> int:
        return (await app.client.request(method, path, headers=headers)).status_code

    for good in (bearer(SCRAPER), bearer(f"  {SCRAPER}"), {"Authorization": f"bearer {SCRAPER}"}):
        assert await status(good) == 200, good
    for wrong in (
        {},
        {"Authorization": "Bearer"},
        bearer(SCRAPER[:-1]),
        bearer(f"{SCRAPER}x"),
        bearer(f"{SCRAPER} {SCRAPER}"),
        {"Authorization": SCRAPER},
        {"Authorization": f"Basic {SCRAPER}"},
    ):
        assert await status(wrong) == 401, wrong
    assert await status(bearer(API_KEY)) == 200
    for path in ("/config", "/health/deep", "/api/v1/session", POOL):
        assert await status(bearer(SCRAPER), path) == 401, path


async def test_other_methods_tell_nothing(app: LiveApp) -> None:
    for method in ("OPTIONS", "POST", "DELETE"):
        answer = await app.client.request(method, "/metrics")
        assert answer.status_code == 405
        assert "libri_" not in answer.text


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        ("10.1.1.1", 200),
        ("fd00::7", 200),
        ("[fd00::7]:4711", 200),
        ("::ffff:10.1.1.1", 200),
        ("192.0.2.1, 10.1.1.1", 200),
        ("10.1.1.1, 192.0.2.1", 401),
        ("192.0.2.1", 401),
        ("2001:db8::7", 401),
        ("unknown", 401),
        ("", 401),
    ],
)
async def test_a_scraper_is_known_by_the_address_that_a_trusted_proxy_tells(
    app: LiveApp, forwarded: str, expected: int
) -> None:
    answer = await app.client.get("/metrics", headers={"X-Forwarded-For": forwarded})
    assert answer.status_code == expected


async def test_a_proxy_that_is_not_trusted_lends_its_address_to_nobody(
    tmp_path: Path, models_dir: Path
) -> None:
    auth = {"api_key": API_KEY, "metrics_networks": "127.0.0.0/8,10.0.0.0/8"}
    async with live_app(settings_in(tmp_path / "data", models_dir, auth=auth)) as app:
        assert (await app.client.get("/metrics")).status_code == 200
        assert (await app.client.get("/config")).status_code == 401
        for name, value in (("X-Forwarded-For", "10.1.1.1"), ("Via", "1.1 x"), ("X-Real-IP", "10.1.1.1")):
            assert (await app.client.get("/metrics", headers={name: value})).status_code == 401, name


async def test_without_any_credential_this_machine_reads_and_changes_all_and_no_proxy_does(
    tmp_path: Path, models_dir: Path
) -> None:
    async with live_app(settings_in(tmp_path / "data", models_dir)) as app:
        assert "operator" in (await app.client.get("/api/v1/session")).json()["roles"]
        for path in ("/metrics", "/config", "/health/deep", POOL):
            assert (await app.client.get(path)).status_code in LET_IN, path
            proxied = await app.client.get(path, headers={"X-Forwarded-For": "127.0.0.1"})
            assert proxied.status_code == 401, path
