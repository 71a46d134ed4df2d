"""What NGINX keeps from the application: private paths however they are spelt, too much, too slowly."""

from __future__ import annotations

import asyncio
import time

import pytest

from backend.api.guard_body import MAX_HEADER_BYTES, MAX_TARGET_BYTES
from backend.api.render import LARGEST_BYTES
from backend.config import Server
from devstack.nginx import BELOW_A_PATH, Front
from tests.support.pipelined import Reply, closed, replies, reply, request
from tests.support.proxy import front
from tests.support.upstream import Upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

PRIVATE = ["/metrics", "/config", "/health/deep", "/api/v1/admin/pool", "/api/v1/admin"]
SPELT = [
    "//metrics",
    "/metrics/",
    "/metrics//",
    "/METRICS",
    "/%6detrics",
    "/%6D%65trics",
    "/%2fmetrics",
    "/metrics%2f",
    "/metrics?x=/public",
    "/metrics#/public",
    "/./metrics",
    "/x/../metrics",
    "/x/%2e%2e/metrics",
    "/api/v1/../../metrics",
    "/assets/../metrics",
    "/assets/..%2fmetrics",
    "/metrics/x",
    "/metrics%0a",
    "/metrics%0a/",
    "/metrics%0d%0a/",
    "/metrics;a",
    "/metrics%20",
    "/metrics%23x",
    "/metrics%3fx",
    "/metrics\\",
    "/metrics%c2%a0",
    "/%09/metrics",
    "/metrics%00",
    "/assist/metrics",
    "http://library.example.org/metrics",
    "HTTP://library.example.org//metrics",
    "http://library.example.org/x/../config",
    "/api/v1/%61dmin/pool",
    "/api/v1%2fadmin/pool",
    "/api//v1//admin//pool",
    "/api/v1/Admin/pool/instances",
    "/health/./deep",
    "/health//deep/",
    "/health%2Fdeep",
]


def problem(answer: Reply) -> dict[str, object]:
    """The refusal, in its shape."""
    assert answer["content-type"] == ["application/problem+json"]
    assert len(answer.body) <= LARGEST_BYTES
    said = answer.json()
    assert (said["status"], said["type"]) == (answer.status, "about:blank")
    assert answer["cache-control"] == ["no-store"]
    return said


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_what_is_for_operators_never_reaches_the_application(
    method: str, door: Front, replica: Upstream
):
    before = len(replica.seen)
    for path in [*PRIVATE, *SPELT]:
        sent = request(path, {"Authorization": f"Bearer {method}{path}".replace("%", "")}, method=method)
        answer = await reply(door.port, sent)
        assert answer.status in (400, 403), (path, answer)
        if path != "/metrics%00":
            assert problem(answer)["code"] in ("forbidden", "invalid_request"), path
    assert [one.target for one in replica.seen[before:]] == []


async def test_nor_below_a_path(replica: Upstream):
    with front([replica.url], conf=BELOW_A_PATH) as door:
        before = len(replica.seen)
        for number, path in enumerate([*PRIVATE, *(one for one in SPELT if one[0] == "/")]):
            below = "/assist" + path.removeprefix("/assist")
            answer = await reply(door.port, request(below, {"Authorization": f"Bearer {number}"}))
            assert answer.status in (400, 403, 404), path  # 404: `..` leads out of it
        assert [one.target for one in replica.seen[before:]] == []


async def test_what_only_looks_like_it_does(door: Front):
    for path in (
        "/api/v1/documents/metricsx",
        "/configuration",
        "/health",
        "/health/ready",
        "/api/v1/administer",
        "/assets/0/config.js",
    ):
        answer = await reply(door.port, request(path, {"Authorization": f"Bearer {path}"}))
        assert answer.status == 200, path


async def test_a_network_of_operators_may_be_named(replica: Upstream):
    with front([replica.url], changes={"# allow 10.20.0.0/16;": "allow 127.0.0.1;"}) as door:
        for path in PRIVATE:
            assert (await reply(door.port, request(path))).status == 200
    with front([replica.url], changes={"# allow 10.20.0.0/16;": "allow 10.20.0.0/16;"}) as door:
        assert (await reply(door.port, request("/metrics", {"X-Forwarded-For": "10.20.0.1"}))).status == 403


async def test_the_refusals_own_pages_are_nobodys(door: Front):
    for path in ("/libriassist/problem", "/libriassist/openai"):
        answer = await reply(door.port, request(path))
        assert (answer.status, problem(answer)["code"]) == (404, "not_found")


async def test_a_body_as_large_as_the_application_takes_is_taken_and_no_larger(
    door: Front, replica: Upstream
):
    most = Server().max_body_bytes
    path, who = "/api/v1/chat", {"Authorization": "Bearer bodies"}
    taken = await reply(door.port, request(path, who, method="POST", body=b"x" * most))
    assert (taken.status, len(replica.of(path)[0].body)) == (200, most)
    refused = await replies(door.port, [request(path, who, method="POST", body=b"x" * (most + 1))])
    assert [(one.status, problem(one)["code"]) for one in refused] == [(413, "too_large")]
    chunked = (
        request(path, {**who, "Transfer-Encoding": "chunked"}) + b"%x\r\n" % (most + 1) + b"x" * (most + 1)
    )
    (refused_too,) = await replies(door.port, [chunked.replace(b"GET", b"POST", 1)])
    assert (refused_too.status, problem(refused_too)["code"]) == (413, "too_large")
    assert len(replica.of(path)) == 1


@pytest.mark.parametrize(
    "path", ["/api/v1/documents", "/api/v1/documents/?corpus=x", "/assist/api/v1/documents"]
)
async def test_so_is_an_upload(path: str, door: Front):
    most = Server().max_upload_bytes + 64 * 1024
    head = "POST {} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer uploads\r\nContent-Length: {}\r\n\r\n"
    refused = await reply(door.port, head.format(path, most + 1).encode())
    assert (refused.status, problem(refused)["code"]) == (413, "too_large")
    waiting = head.replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n")
    assert (await reply(door.port, waiting.format(path, most).encode())).status == 100


async def test_long_addresses_and_headers_are_refused_in_our_shape(door: Front):
    long = await reply(door.port, request("/" + "x" * MAX_TARGET_BYTES))
    assert (long.status, problem(long)["code"]) == (414, "invalid_request")
    large = await reply(door.port, request("/x", {"X-Large": "y" * MAX_TARGET_BYTES}))
    assert (large.status, problem(large)["code"]) == (431, "headers_too_large")
    many = await reply(
        door.port, request("/x", {f"X-{n}": "y" * 4000 for n in range(MAX_HEADER_BYTES // 2000)})
    )
    assert (many.status, problem(many)["code"]) == (431, "headers_too_large")
    fits = await reply(door.port, request("/x", {f"X-{n}": "y" * 5000 for n in range(3)}))
    assert fits.status == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /x HTTP/1.1\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: a/b\r\n\r\n",
        b"GET /../x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"TRACE /x HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
async def test_what_is_not_well_formed_is_refused_in_our_shape(sent: bytes, door: Front, replica: Upstream):
    before = len(replica.seen)
    answer = await reply(door.port, sent)
    assert 400 <= answer.status < 502
    problem(answer)
    assert len(replica.seen) == before


async def test_who_sends_too_slowly_is_let_go_and_disturbs_nobody(replica: Upstream):
    changes = {
        "client_header_timeout 10s": "client_header_timeout 1s",
        "client_body_timeout 30s": "client_body_timeout 1s",
    }
    with front([replica.url], changes=changes) as door:
        before = len(replica.seen)
        slow = [
            b"GET /slow HTTP/1.1\r\nHost: x\r\nX-A: b",
            b"",
            b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nab",
        ]
        held = [await asyncio.open_connection("127.0.0.1", door.port) for _ in range(60)]
        for number, (_, writer) in enumerate(held):
            writer.write(slow[number % 3])
        began = time.monotonic()
        assert (await reply(door.port, request("/quick", {"Authorization": "Bearer quick"}))).status == 200
        assert time.monotonic() - began < 1.0
        async with asyncio.timeout(10):
            assert [await _last_words(reader) for reader, _ in held] == [b""] * 60
        for _, writer in held:
            await closed(writer)
        assert [one.path for one in replica.seen[before:]] == ["/quick"]


async def test_a_reader_who_takes_nothing_is_let_go(replica: Upstream):
    with front([replica.url], changes={"send_timeout 30s": "send_timeout 1s"}) as door:
        before = replica.left
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port, limit=1)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(request("/api/v1/runs/r/events?events=1000&pad=65536", {"Authorization": "Bearer deaf"}))
        async with asyncio.timeout(20):
            while replica.left == before:
                await asyncio.sleep(0.1)
        await closed(writer)
        assert reader is not None


async def _last_words(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""
