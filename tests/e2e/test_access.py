"""Who may ask, over a real socket."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backend.api.web import EDITION
from backend.core.types import Role
from backend.engines.scripted import ScriptedEngine, recite
from tests.support.live_app import HOURS, LiveApp, live_app, scripted, settings_in

KEY = "operator-key-of-the-test"
FOR_GOOD = "public, max-age=31536000, immutable"
QUESTION = {"question": "When does the library open in the morning?"}


@pytest.fixture
async def app(tmp_path: Path, models_dir: Path) -> AsyncIterator[LiveApp]:
    settings = settings_in(tmp_path / "data", models_dir, auth={"api_key": KEY})
    async with live_app(settings, scripted(ScriptedEngine(recite("At nine [1].")))) as live:
        await live.put(HOURS)
        yield live


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def test_without_the_key_nothing_is_answered(app: LiveApp) -> None:
    for headers in ({}, bearer("wrong"), {"Authorization": "Basic eDp5"}, {"Cookie": "libri_session=forged"}):
        response = await app.client.post("/api/v1/chat", json=QUESTION, headers=headers)
        assert response.status_code == 401, headers
        assert response.json()["code"] == "unauthenticated"
    assert (await app.client.post("/api/v1/chat", json=QUESTION, headers=bearer(KEY))).status_code == 200


async def test_the_page_comes_without_a_key_and_its_cookie_with_one(app: LiveApp) -> None:
    page = await app.client.get("/")
    assert page.status_code == 200
    assert "set-cookie" not in page.headers
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert (await app.client.post("/api/v1/session", json={"key": "wrong"})).status_code == 401
    signed_in = await app.client.post("/api/v1/session", json={"key": KEY})
    assert signed_in.status_code == 204
    cookie = signed_in.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert (await app.client.post("/api/v1/chat", json=QUESTION)).status_code == 200


async def test_a_key_reads_only_the_corpora_it_was_given(app: LiveApp) -> None:
    keys = app.services.keys
    made = await keys.create(
        name="reader", tenant="local", roles=frozenset({Role.READER}), corpora=frozenset({"other"})
    )
    headers = bearer(made.secret)
    asked = QUESTION | {"corpora": ["default"]}
    assert (await app.client.post("/api/v1/chat", json=asked, headers=headers)).status_code == 403
    assert (await app.client.get("/api/v1/documents", headers=headers)).status_code == 403
    own = await app.client.post("/api/v1/chat", json=QUESTION, headers=headers)
    assert own.json()["finish_reason"] == "no_answer"


async def test_a_key_sees_no_hand_in_to_a_corpus_it_was_not_given(app: LiveApp) -> None:
    sent = await app.client.post("/api/v1/documents", files={"file": HOURS}, headers=bearer(KEY))
    made = await app.services.keys.create(
        name="writer", tenant="local", roles=frozenset({Role.WRITER}), corpora=frozenset({"other"})
    )
    path = f"/api/v1/ingestions/{sent.json()['id']}"
    assert (await app.client.get(path, headers=bearer(KEY))).status_code == 200
    assert (await app.client.get(path, headers=bearer(made.secret))).status_code == 403


async def test_a_reader_may_neither_upload_nor_look_behind(app: LiveApp) -> None:
    keys = app.services.keys
    made = await keys.create(
        name="reader", tenant="local", roles=frozenset({Role.READER}), corpora=frozenset({"*"})
    )
    headers = bearer(made.secret)
    upload = await app.client.post("/api/v1/documents", files={"file": HOURS}, headers=headers)
    assert upload.status_code == 403
    (shown,) = (await app.client.get("/api/v1/documents", headers=headers)).json()["documents"]
    assert "origin" not in shown
    path = f"/api/v1/documents/{shown['id']}"
    assert (await app.client.patch(path, json={"name": "x.md"}, headers=headers)).status_code == 403
    assert (await app.client.get("/api/v1/ingestions/failed", headers=headers)).status_code == 403
    assert (await app.client.get("/config", headers=headers)).status_code == 403
    assert (await app.client.get("/health/deep", headers=headers)).status_code == 403
    assert (await app.client.get("/health/deep", headers=bearer(KEY))).status_code == 200


async def test_another_tenants_documents_do_not_exist(app: LiveApp) -> None:
    made = await app.services.keys.create(
        name="them", tenant="them", roles=frozenset(Role), corpora=frozenset({"*"})
    )
    headers = bearer(made.secret)
    ours = (await app.client.get("/api/v1/documents", headers=bearer(KEY))).json()["documents"][0]["id"]
    assert (await app.client.get("/api/v1/documents", headers=headers)).json()["documents"] == []
    for path in (f"/api/v1/documents/{ours}", f"/api/v1/documents/{ours}/text"):
        assert (await app.client.get(path, headers=headers)).status_code == 404
    path = f"/api/v1/documents/{ours}"
    assert (await app.client.delete(path, headers=headers)).status_code == 404
    assert (await app.client.patch(path, json={"name": "x.md"}, headers=headers)).status_code == 404
    answer = await app.client.post("/api/v1/chat", json=QUESTION, headers=headers)
    assert answer.json()["finish_reason"] == "no_answer"


async def test_another_subjects_run_and_conversation_do_not_exist(app: LiveApp) -> None:
    body = (await app.client.post("/api/v1/chat", json=QUESTION, headers=bearer(KEY))).json()
    made = await app.services.keys.create(
        name="peer", tenant="local", roles=frozenset(Role), corpora=frozenset({"*"})
    )
    headers = bearer(made.secret)
    run, conversation = body["run_id"], body["conversation_id"]
    assert (await app.client.get(f"/api/v1/runs/{run}/events", headers=headers)).status_code == 404
    assert (await app.client.delete(f"/api/v1/runs/{run}", headers=headers)).status_code == 404
    assert (await app.client.get(f"/api/v1/conversations/{conversation}", headers=headers)).status_code == 404
    follow_up = QUESTION | {"conversation_id": conversation}
    assert (await app.client.post("/api/v1/chat", json=follow_up, headers=headers)).status_code == 404


async def test_a_revoked_key_is_worth_nothing(app: LiveApp) -> None:
    keys = app.services.keys
    made = await keys.create(name="x", tenant="local", roles=frozenset(Role), corpora=frozenset({"*"}))
    assert (await app.client.get("/api/v1/session", headers=bearer(made.secret))).status_code == 200
    await keys.revoke(made.key.id)
    assert (await app.client.get("/api/v1/session", headers=bearer(made.secret))).status_code == 401


async def test_another_host_name_and_another_origin_are_refused(app: LiveApp) -> None:
    response = await app.client.get("/api/v1/session", headers=bearer(KEY) | {"Host": "evil.example"})
    assert response.status_code in (400, 421)
    headers = bearer(KEY) | {"Origin": "https://evil.example"}
    assert (await app.client.post("/api/v1/chat", json=QUESTION, headers=headers)).status_code == 403


async def test_behind_a_proxy_loopback_counts_for_nothing(tmp_path: Path, models_dir: Path) -> None:
    async with live_app(settings_in(tmp_path / "data", models_dir)) as app:
        assert (await app.client.get("/api/v1/session")).status_code == 200
        for header in (
            "X-Forwarded-For",
            "X-Real-IP",
            "Via",
            "Forwarded",
            "X-Forwarded-Host",
            "X-Forwarded-Prefix",
        ):
            response = await app.client.get("/api/v1/session", headers={header: "203.0.113.9"})
            assert response.status_code == 401, header


async def test_where_no_key_is_asked_for_a_worthless_cookie_is_replaced(
    tmp_path: Path, models_dir: Path
) -> None:
    async with live_app(settings_in(tmp_path / "data", models_dir)) as app:
        forged = await app.client.get("/", headers={"Cookie": "libri_session=forged"})
        fresh = forged.headers["set-cookie"].partition(";")[0]
        assert fresh != "libri_session=forged"
        app.client.cookies.clear()
        assert "set-cookie" not in (await app.client.get("/", headers={"Cookie": fresh})).headers
        who = await app.client.get("/api/v1/session", headers={"Cookie": fresh})
        assert who.json()["subject"].startswith("browser-")


@pytest.mark.parametrize(
    ("headers", "secure"),
    [({}, False), ({"Origin": "https://{host}"}, True), ({"X-Forwarded-Proto": "https"}, True)],
)
async def test_a_cookie_given_over_tls_stays_there(
    app: LiveApp, headers: dict[str, str], secure: bool
) -> None:
    sent = {name: value.format(host=app.url.removeprefix("http://")) for name, value in headers.items()}
    signed_in = await app.client.post("/api/v1/session", json={"key": KEY}, headers=sent)
    assert signed_in.status_code == 204
    assert ("Secure" in signed_in.headers["set-cookie"]) == secure


async def test_below_a_prefix_the_cookie_is_for_that_path_and_goes_before_another(app: LiveApp) -> None:
    below = {"X-Forwarded-Prefix": "/assist"}
    signed_in = await app.client.post("/api/v1/session", json={"key": KEY}, headers=below)
    cookie = signed_in.headers["set-cookie"]
    assert "Path=/assist;" in cookie
    app.client.cookies.clear()
    both = {"Cookie": f"{cookie.partition(';')[0]}; libri_session=of-another-assistant-at-the-top"}
    assert (await app.client.get("/api/v1/session", headers=both)).status_code == 200
    signed_out = await app.client.delete("/api/v1/session", headers=both | below)
    assert "Path=/assist;" in signed_out.headers["set-cookie"]


async def test_the_page_names_its_files_below_the_prefix_it_is_told(app: LiveApp) -> None:
    plain = await app.client.get("/")
    assert f'src="assets/{EDITION}/page.js"' in plain.text
    below = await app.client.get("/", headers={"X-Forwarded-Prefix": "/assist"})
    assert f'src="/assist/assets/{EDITION}/page.js"' in below.text
    assert below.headers["etag"] != plain.headers["etag"]
    for lie in ("//evil.example", "https://evil.example", '/"><script>'):
        assert (await app.client.get("/", headers={"X-Forwarded-Prefix": lie})).text == plain.text


async def test_the_files_of_the_page_are_kept_for_good_and_the_page_is_asked_for_anew(app: LiveApp) -> None:
    plain = await app.client.get("/")
    assert plain.headers["cache-control"] == "no-cache"
    named = re.findall(r'(?:href|src)="(assets/[^"]+)"', plain.text)
    assert len(named) > 30
    for path in named[:3]:
        file = await app.client.get(f"/{path}")
        assert (file.status_code, file.headers["cache-control"]) == (200, FOR_GOOD)
        assert file.headers["x-content-type-options"] == "nosniff"
    for tag in (plain.headers["etag"], f"W/{plain.headers['etag']}", f'"other", W/{plain.headers["etag"]}'):
        again = await app.client.get("/", headers={"If-None-Match": tag})
        assert (again.status_code, again.content) == (304, b"")
    assert (await app.client.get("/", headers={"If-None-Match": '"other"'})).status_code == 200


async def test_another_editions_page_gets_our_files_but_does_not_keep_them(app: LiveApp) -> None:
    ours = await app.client.get(f"/assets/{EDITION}/page.js")
    other = await app.client.get("/assets/0123456789abcdef/page.js")
    assert (other.status_code, other.content) == (200, ours.content)
    assert other.headers["cache-control"] == "no-cache"
    for path in (f"/assets/{EDITION}/none.js", f"/assets/{EDITION}/index.html", "/assets/page.js"):
        assert (await app.client.get(path)).status_code == 404


async def test_head_of_an_event_stream_has_its_head_and_ends(app: LiveApp) -> None:
    asked = (await app.client.post("/api/v1/chat", json=QUESTION, headers=bearer(KEY))).json()
    path = f"/api/v1/runs/{asked['run_id']}/events"
    head = await app.client.head(path, headers=bearer(KEY))
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"].startswith("text/event-stream")
    assert (await app.client.head("/api/v1/runs/none/events", headers=bearer(KEY))).status_code == 404
    async with app.client.stream("GET", path, headers=bearer(KEY)) as stream:
        body = (await stream.aread()).decode()
    first = body.partition("\n\n")[0].split("\n")
    assert [line.partition(":")[0] for line in first] == ["retry", "event", "data"]
    assert all("data: " in block or block.startswith(":") for block in body.split("\n\n") if block)
