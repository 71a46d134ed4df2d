"""The guard over real sockets."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from backend.config import Server
from tests.support.guarded import serving, small_app

CHAT = "/api/v1/chat"
JSON = {"content-type": "application/json"}
ALLOWED = "https://intranet.example.org"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = Server(
        max_body_bytes=2000, max_upload_bytes=100_000, body_timeout_s=1.0, allowed_origins=(ALLOWED,)
    )
    with serving(small_app(server)) as url:
        yield url


@pytest.fixture
async def http(address) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=address, timeout=5) as client:
        yield client


def check(answer: httpx.Response, status: int, code: str = "") -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.content) < 1024
    assert answer.json()["status"] == status
    assert not code or answer.json()["code"] == code


async def test_a_good_request_passes_with_security_headers(http):
    answer = await http.post(CHAT, json={"question": "Why?"})
    assert answer.json() == {"question": "Why?"}
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


async def test_a_page_keeps_its_own_policy(http):
    assert (await http.get("/page")).headers["content-security-policy"] == "default-src 'self'"


async def test_a_stream_stays_a_stream(http):
    async with http.stream("GET", "/stream") as answer:
        assert [part async for part in answer.aiter_raw()] == [b"x"] * 3


@pytest.mark.parametrize(
    ("given", "kept"), [("abc-1.2_Z", True), ("a" * 65, False), ("a b", False), ("é", False)]
)
async def test_a_request_id_is_kept_if_it_is_harmless(http, given, kept):
    answer = await http.get("/health", headers={"x-request-id": given.encode()})
    assert (answer.headers["x-request-id"] == given) == kept
    assert answer.headers["x-request-id"].isascii()


@pytest.mark.parametrize("host", ["evil.example.org", "127.0.0.1.evil.org", "localhost.evil.org:80", "[::2]"])
async def test_another_hosts_name_is_not_served(http, host):
    check(await http.get("/api/v1/list", headers={"host": host}), 421, "misdirected_request")


@pytest.mark.parametrize(
    "host", ["", "a b", "localhost:99999999", "user@localhost", "localhost/x", "local\u00e9".encode()]
)
async def test_a_host_that_is_no_name_is_refused(http, host):
    check(await http.get("/api/v1/list", headers={"host": host}), 400)


async def test_a_probe_by_address_is_answered(http):
    assert (await http.get("/health", headers={"host": "10.2.3.4:8000"})).status_code == 200


@pytest.mark.parametrize("host", ["LOCALHOST:1", "localhost.", "[::1]:8000", "127.0.0.1"])
async def test_our_own_names_are_served(http, host):
    assert (await http.get("/api/v1/list", headers={"host": host})).status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(
    "origin", ["https://evil.org", "null", "http://localhost.evil.org", "http://[", "file://", ""]
)
async def test_another_sites_page_is_refused(http, method, origin):
    answer = await http.request(method, CHAT, headers={"origin": origin}, json={"question": "q"})
    check(answer, 403, "forbidden")
    assert "access-control-allow-origin" not in answer.headers


async def test_another_sites_request_without_origin_is_refused(http):
    check(await http.get("/api/v1/list", headers={"sec-fetch-site": "cross-site"}), 403)
    check(await http.post(CHAT, headers={"sec-fetch-site": "same-site"}, json={}), 403)
    assert (await http.get("/page", headers={"sec-fetch-site": "cross-site"})).status_code == 200


async def test_our_own_page_may_call(http):
    own = str(http.base_url).rstrip("/")
    for headers in (
        {"origin": own},
        {"origin": "null", "sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "same-origin"},
    ):
        assert (await http.post(CHAT, headers=headers, json={"question": "q"})).status_code == 200


PROXIED = {"host": "localhost", "x-forwarded-for": "203.0.113.9"}


@pytest.mark.parametrize(
    ("origin", "headers"),
    [
        ("http://localhost:8080", {"host": "localhost:8080"}),
        ("http://localhost:8080", PROXIED),
        ("https://localhost", PROXIED),
        ("https://localhost", {"host": "localhost:443"}),
        ("https://LOCALHOST.:8443", {"host": "localhost:8443"}),
        ("http://[::1]:8080", {"host": "127.0.0.1", "x-forwarded-host": "[::1]:8080"}),
        ("http://localhost:8080", {"host": "127.0.0.1:8000", "sec-fetch-site": "same-origin"}),
    ],
)
async def test_our_own_page_may_call_through_a_proxy(http, origin, headers):
    answer = await http.post(CHAT, headers={"origin": origin, **headers}, json={"question": "q"})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("origin", "headers"),
    [
        ("https://evil.org", {"x-forwarded-host": "evil.org"}),
        ("https://evil.org", {"forwarded": "host=evil.org"}),
        ("https://evil.org", {"sec-fetch-site": "same-origin"}),
        ("https://evil.org", {"x-forwarded-host": "localhost", "x-forwarded-proto": "https"}),
        ("http://localhost:8080", {**PROXIED, "sec-fetch-site": "same-site"}),
        ("http://localhost:8080", {**PROXIED, "x-forwarded-port": "8081"}),
        ("http://localhost:8080", {"host": "localhost", "sec-fetch-site": "cross-site"}),
    ],
)
async def test_another_sites_page_is_refused_whatever_a_proxy_says(http, origin, headers):
    check(await http.post(CHAT, headers={"origin": origin, **headers}, json={"question": "q"}), 403)


async def test_two_words_on_the_calling_site_are_refused(http):
    twice = [("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site"), *JSON.items()]
    check(await http.post(CHAT, headers=twice, content=b'{"question":"q"}'), 403)


async def test_a_forwarded_name_does_not_stand_for_the_host(http):
    check(await http.get("/api/v1/list", headers={"host": "evil.org", "x-forwarded-host": "localhost"}), 421)


@pytest.mark.parametrize("path", ["/api/v1/list", "/health", "/stream", "/page", "/nowhere", CHAT])
async def test_head_says_what_get_says_without_a_body(http, path):
    seen, head = await http.get(path), await http.head(path)
    assert head.status_code == seen.status_code
    assert head.content == b""
    own = {"x-request-id", "date", "transfer-encoding"}
    assert {k: v for k, v in head.headers.items() if k not in own} == {
        k: v for k, v in seen.headers.items() if k not in own
    }
    assert (await http.get("/health")).status_code == 200


async def test_head_is_offered_where_get_is(http):
    assert (await http.put("/api/v1/list")).headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", ["/api/v1/list/", "//api/v1/list", "///api/v1/list//"])
async def test_slashes_too_many_redirect_nowhere(http, path):
    answer = await http.get(f"{http.base_url}".rstrip("/") + path, headers={"x-forwarded-proto": "https"})
    assert answer.json() == {"limit": 5}


async def test_an_upload_keeps_its_limits_under_any_spelling(http):
    answer = await http.post("/api/v1/documents/", files={"file": ("a.txt", b"x" * 90_000)})
    assert answer.json() == {"bytes": 90_000}


async def test_below_a_prefix_each_route_is_found_and_guarded():
    with serving(small_app(Server(root_path="/assist"))) as url:
        async with httpx.AsyncClient(base_url=url, timeout=5) as http:
            for path in ("/assist/api/v1/list", "/assist/api/v1/list/", "/api/v1/list"):
                assert (await http.get(path)).json() == {"limit": 5}
                check(await http.get(path, headers={"sec-fetch-site": "cross-site"}), 403)
                check(await http.get(path, headers={"host": "evil.org"}), 421)
            check(await http.get("/assistant/api/v1/list"), 404)
            assert (await http.get("/assist/health", headers={"host": "10.0.0.1"})).status_code == 200


async def test_an_allowed_sites_page_may_call_without_cookies(http):
    answer = await http.post(CHAT, headers={"origin": ALLOWED}, json={"question": "q"})
    assert answer.headers["access-control-allow-origin"] == ALLOWED
    assert "access-control-allow-credentials" not in answer.headers
    asked = {"origin": ALLOWED, "access-control-request-method": "POST"}
    preflight = await http.options(CHAT, headers=asked)
    assert preflight.status_code == 204
    assert "authorization" in preflight.headers["access-control-allow-headers"]
    refused = await http.post(CHAT, headers={"origin": ALLOWED}, json={"question": " "})
    check(refused, 422)
    assert refused.headers["access-control-allow-origin"] == ALLOWED


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=utf-16",
        "application/jsonp",
        "multipart/form-data; boundary=x",
    ],
)
async def test_a_body_of_another_type_is_refused(http, content_type):
    check(await http.post(CHAT, content=b'{"question":"q"}', headers={"content-type": content_type}), 415)


async def test_a_compressed_body_is_refused(http):
    check(await http.post(CHAT, content=b"x", headers={**JSON, "content-encoding": "gzip"}), 415)


async def test_a_large_body_is_refused_by_its_announced_length(http):
    check(await http.post(CHAT, content=b" " * 2001, headers=JSON), 413, "too_large")


async def test_a_large_body_is_refused_while_it_streams(http):
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b" " * 100

    check(await http.post(CHAT, content=pieces(), headers=JSON), 413, "too_large")


async def test_a_large_upload_is_refused_while_it_streams(http):
    async def pieces() -> AsyncIterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
        for _ in range(40):
            yield b"x" * 5000
        yield b"\r\n--b--\r\n"

    headers = {"content-type": "multipart/form-data; boundary=b"}
    check(await http.post("/api/v1/documents", content=pieces(), headers=headers), 413, "too_large")


async def test_an_upload_within_its_limit_passes(http):
    answer = await http.post("/api/v1/documents", files={"file": ("a.txt", b"x" * 90_000)})
    assert answer.json() == {"bytes": 90_000}


@pytest.mark.parametrize("dripping", [False, True])
async def test_a_body_that_stops_coming_or_drips_is_given_up(address, dripping):
    port = int(address.rsplit(":", 1)[1])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    writer.write(head.encode() + b'Content-Length: 1000\r\n\r\n{"question":')
    try:
        for _ in range(5 if dripping else 0):
            await asyncio.sleep(0.05)
            writer.write(b" ")
        said = await asyncio.wait_for(reader.read(), 30)
    finally:
        writer.close()
    assert b"408 Request Timeout" in said
    assert b"request_timeout" in said


async def test_large_headers_are_refused(http):
    check(await http.get("/api/v1/list", headers={"x-large": "a" * 30_000}), 431, "headers_too_large")
    check(await http.get("/api/v1/list", headers=[(f"x-{n}", "a") for n in range(150)]), 431)
    check(await http.get("/api/v1/list?q=" + "a" * 9000), 414)


@pytest.mark.parametrize(
    "body",
    [
        *(
            b"null",
            b"[]",
            b"{}",
            b"-1",
            b'{"question": 1}',
            b'{"question":"q","options":{"temperature":NaN}}',
        ),
        *(
            rb'{"question":"\ud800"}',
            rb'{"question":"\u0000"}',
            json.dumps({"question": "q", "x" * 900: 1}).encode(),
        ),
        json.dumps({"question": "q", **{f"<script>{n}": n for n in range(50)}}).encode(),
    ],
)
async def test_a_body_that_does_not_fit_is_not_quoted(http, body):
    answer = await http.post(CHAT, content=body, headers=JSON)
    check(answer, 422, "invalid_request")
    assert "script" not in answer.text
    assert "xxx" not in answer.text


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", '{"question":"q"}'.encode("utf-16"), b"[" * 1900])
async def test_a_body_that_is_not_json_is_malformed(http, body):
    check(await http.post(CHAT, content=body, headers=JSON), 400, "invalid_request")


async def test_a_query_that_does_not_fit_is_not_quoted(http):
    answer = await http.get("/api/v1/list", params={"limit": "9" * 5000})
    check(answer, 422)
    assert "999" not in answer.text


async def test_what_is_not_there_is_a_problem_too(http):
    check(await http.get("/nowhere"), 404, "not_found")
    answer = await http.put(CHAT, json={})
    check(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


async def test_errors_of_ours_say_when_to_come_back(http):
    answer = await http.get("/fails/full")
    check(answer, 503, "pool_full")
    assert answer.headers["retry-after"] == "3"
    assert answer.json()["retryable"] is True


async def test_an_error_in_a_task_group_keeps_its_status(http):
    answer = await http.get("/fails/group")
    check(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_the_unexpected_is_a_500_that_tells_nothing_and_is_logged_once(http, caplog):
    with caplog.at_level(logging.ERROR):
        answer = await http.get("/fails/otherwise")
    check(answer, 500, "internal")
    assert "reader" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert [record.getMessage() for record in caplog.records] == ["unexpected error"]


@pytest.mark.parametrize("below", ["", "/assist"])
async def test_below_v1_whoever_refuses_speaks_as_openai_does(below):
    with serving(small_app(Server(root_path="/assist", max_body_bytes=2000))) as url:
        async with httpx.AsyncClient(base_url=f"{url}{below}/v1", timeout=5) as http:
            chat = "/chat/completions"
            for answer, status, code in (
                (await http.get("/nowhere"), 404, "not_found"),
                (await http.put(chat, json={}), 405, "method_not_allowed"),
                (await http.get("/fails/full", headers={"host": "evil.org"}), 421, "misdirected_request"),
                (await http.get("/fails/full", headers={"host": "a b"}), 400, "invalid_request"),
                (await http.post(chat, headers={"origin": "https://evil.org"}, json={}), 403, "forbidden"),
                (await http.post(chat, content=b"x"), 415, "unsupported_media_type"),
                (await http.post(chat, content=b" " * 2001, headers=JSON), 413, "too_large"),
                (await http.post(chat, json={"question": 1}), 422, "invalid_request"),
                (await http.get("/fails/full", headers={"x-large": "a" * 30_000}), 431, "headers_too_large"),
                (await http.get("/fails/full"), 503, "pool_full"),
                (await http.get("/fails/group"), 401, "unauthenticated"),
                (await http.get("/fails/otherwise"), 500, "internal"),
            ):
                assert answer.status_code == status
                assert answer.headers["content-type"] == "application/json"
                assert answer.json().keys() == {"error"}
                assert answer.json()["error"].keys() == {"message", "type", "param", "code"}
                assert answer.json()["error"]["code"] == code
                assert len(answer.content) < 1024


async def test_the_connection_lives_on_after_a_refusal(http):
    for _ in range(3):
        check(await http.post(CHAT, content=b" " * 2001, headers=JSON), 413)
        assert (await http.post(CHAT, json={"question": "q"})).status_code == 200
