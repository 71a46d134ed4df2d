"""How much a caller may have, and who counts as one caller."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from backend.api.render import LARGEST_BYTES
from devstack.nginx import BELOW_A_PATH, LISTED, Front
from tests.support.pipelined import Reply, closed, read_head, replies, reply, request
from tests.support.proxy import front
from tests.support.upstream import Upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

BURST, AT_ONCE = 20, 10
PATH = "/api/v1/conversations"
STREAM = "/api/v1/runs/r/events?events=1"


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def cookie(value: str) -> dict[str, str]:
    return {"Cookie": f"theme=dark; libri_session={value}"}


async def sent(door: Front, count: int, headers: dict[str, str], path: str = PATH) -> list[Reply]:
    return await replies(door.port, [request(path, headers)] * count)


def accepted(answers: list[Reply]) -> int:
    assert {answer.status for answer in answers} <= {200, 429}
    return sum(answer.status == 200 for answer in answers)


@pytest.mark.parametrize(("conf", "rate"), [("nginx.conf", 10), ("load-test.conf", 5)])
async def test_of_300_requests_of_one_key_the_rate_and_the_burst_are_accepted(
    conf: str, rate: int, replica: Upstream
):
    with front([replica.url], conf=conf) as door:
        began = time.monotonic()
        answers = await sent(door, 300, bearer("greedy"))
        took_s = time.monotonic() - began
        assert len(answers) == 300
        assert BURST + 1 <= accepted(answers) <= BURST + 2 + rate * took_s
        (wait_s,) = answers[-1]["retry-after"]
        await asyncio.sleep(float(wait_s))
        assert accepted(await sent(door, 1, bearer("greedy"))) == 1


async def test_a_refusal_has_the_applications_shape(door: Front):
    answer = (await sent(door, BURST + 20, bearer("shape")))[-1]
    assert (answer.status, answer["content-type"]) == (429, ["application/problem+json"])
    assert answer["retry-after"] == ["1"]
    assert answer.json() == {
        "type": "about:blank",
        "title": "Too Many Requests",
        "status": 429,
        "code": "quota_exceeded",
        "detail": "too many requests in a short time",
        "retryable": True,
        "retry_after_s": 1,
    }
    assert len(answer.body) <= LARGEST_BYTES
    assert [len(one) for one in answer["x-request-id"]] == [32]
    assert answer["cache-control"] == ["no-store"]
    assert answer["x-content-type-options"] == ["nosniff"]


@pytest.mark.parametrize("path", ["/v1/models", "//v1/models?a=b", "/v1", "/assist/v1/models"])
async def test_below_v1_it_has_that_of_openai(path: str, door: Front):
    answer = (await sent(door, BURST + 20, bearer(f"openai{path}"), path))[-1]
    assert (answer.status, answer["content-type"]) == (429, ["application/json"])
    assert answer["retry-after"] == ["1"]
    assert answer.json() == {
        "error": {
            "message": "too many requests in a short time",
            "type": "rate_limit_error",
            "param": None,
            "code": "quota_exceeded",
        }
    }


async def test_two_keys_do_not_disturb_each_other(door: Front):
    greedy, modest = await asyncio.gather(sent(door, 100, bearer("one")), sent(door, BURST, bearer("two")))
    assert accepted(greedy) < 100
    assert accepted(modest) == BURST


async def test_nor_do_two_cookies_of_one_key(door: Front):
    for reader in ("WyJhIl0.signature-a-", "WyJhIl0.signature-b-"):
        assert accepted(await sent(door, BURST, cookie(reader))) == BURST


@pytest.mark.parametrize("spelt", ["bearer {}", "BEARER {}", "Bearer   {}", "Bearer {}  ", "Bearer \t{}"])
async def test_one_key_is_one_caller_however_it_is_spelt(spelt: str, door: Front):
    key = f"spelt-{spelt.encode().hex()}"
    await sent(door, BURST + 20, bearer(key))
    assert accepted(await sent(door, 10, {"Authorization": spelt.format(key)})) <= 3


async def test_one_cookie_is_one_caller_whatever_its_last_bits(door: Front):
    """Of the last base64 digit of 32 bytes four bits count: the application reads four cookies as one."""
    await sent(door, BURST + 20, cookie(f"WyJhIl0.{'x' * 42}A"))
    assert accepted(await sent(door, 10, cookie(f"WyJhIl0.{'x' * 42}B"))) <= 3


NO_CREDENTIALS = [
    {},
    {"Authorization": "Basic {}"},
    {"Authorization": "Bearer {} {}"},
    {"Authorization": "Bearer \xe9{}\xa0"},
    {"Cookie": 'libri_session="{}\\101"'},
    {"Cookie": "libri_session=a,{}"},
    {"Authorization": "Nothing", "Cookie": "libri_session=abc{}"},
]


async def test_what_is_no_credential_counts_for_its_address(replica: Upstream):
    with front([replica.url]) as door:
        for headers in NO_CREDENTIALS:
            own = [{name: text.format(n, n) for name, text in headers.items()} for n in range(30)]
            assert accepted(await replies(door.port, [request(PATH, one) for one in own])) < 30, headers
        assert accepted(await sent(door, BURST, bearer("a-key-beside-them"))) == BURST


async def test_who_signs_in_counts_for_its_address_whatever_it_shows(replica: Upstream):
    with front([replica.url]) as door:
        path = "/api/v1/session/"
        guesses = [request(path, bearer(f"guess-{n}"), method="POST", body=b"{}") for n in range(40)]
        assert accepted(await replies(door.port, guesses)) < 40
        assert accepted(await sent(door, 1, bearer("key"), "/api/v1/session")) == 1


async def test_two_hundred_users_of_a_load_test_sign_in_and_ask_from_one_address(replica: Upstream):
    with front([replica.url], conf="load-test.conf") as door:
        signing_in = [request("/api/v1/session", method="POST", body=b"{}")] * 200
        assert accepted(await replies(door.port, signing_in)) == 200
        asking = [request(PATH, cookie(f"user-{n % 200}-")) for n in range(600)]
        assert accepted(await replies(door.port, asking)) == 600
        assert accepted(await sent(door, 60, {})) < 60


async def test_an_address_is_that_of_the_reader_and_of_ipv6_a_whole_network(replica: Upstream):
    """As docs/operations.md says for another proxy before this one."""
    behind = "server_tokens off; set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For;"
    with front([replica.url], changes={"server_tokens off;": behind}) as door:

        async def accepted_from(*addresses: str) -> int:
            asked = [request(PATH, {"X-Forwarded-For": one}) for one in addresses]
            return accepted(await replies(door.port, asked))

        assert await accepted_from(*(f"2001:db8:a0a:a::{n:x}" for n in range(1, 60))) <= BURST + 10
        assert await accepted_from(*["2001:db8:a0a:b::1"] * BURST) == BURST
        assert await accepted_from(*(f"192.0.2.{n}" for n in range(1, 60))) == 59
        assert await accepted_from(*["192.0.2.200"] * 59) <= BURST + 10
        assert replica.seen[-1]["x-forwarded-for"] == ["192.0.2.200"]


async def test_invented_keys_are_bounded_together(replica: Upstream):
    changes = {"rate=100r/s": "rate=10r/s", "burst=1000": "burst=50"}
    with front([replica.url], changes=changes) as door:
        began = time.monotonic()
        answers = await replies(door.port, [request(PATH, bearer(f"invented-{n}")) for n in range(150)])
        assert accepted(answers) <= 50 + 2 + 10 * (time.monotonic() - began)
        assert answers[-1]["retry-after"] == ["1"]


async def test_two_hundred_readers_behind_one_address_do_not_starve_each_other(door: Front):
    """Each loads the page, and has what a page asks for at first, all within about a second."""
    asked = [request("/", cookie(f"nobody-{n}-")) for n in range(200)]
    asked += [request(PATH, cookie(f"reader-{n}-")) for n in range(200) for _ in range(3)]
    assert accepted(await replies(door.port, asked)) == 800


async def test_the_page_and_its_files_are_no_requests_of_a_reader(door: Front):
    files = await sent(door, 80, cookie("loads-the-page"), "/assets/0123/page.js")
    pages = await sent(door, 5, cookie("loads-the-page"), "/")
    assert (accepted(files), accepted(pages)) == (80, 5)
    assert accepted(await sent(door, BURST, cookie("loads-the-page"))) == BURST


@pytest.mark.parametrize(("conf", "path"), [(LISTED, ""), (BELOW_A_PATH, "/assist")])
async def test_a_long_conversation_is_opened_and_leaves_the_readers_rate_whole(
    conf: str, path: str, replica: Upstream
):
    with front([replica.url], conf=conf) as door:
        who = cookie("reads-an-old-one-")
        answers = [request(f"{path}/api/v1/markdown", who, method="POST", body=b"{}")] * 150
        assert accepted(await replies(door.port, answers)) == 150
        assert accepted(await sent(door, BURST, who, f"{path}{PATH}")) == BURST
        assert accepted(await replies(door.port, answers * 2)) < 150


@asynccontextmanager
async def open_stream(door: Front, headers: dict[str, str]):
    """The head of a stream that waits."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(request(STREAM, headers))
    try:
        yield await read_head(reader)
    finally:
        await closed(writer)


async def test_an_open_stream_is_a_connection_and_no_rate(replica: Upstream, door: Front):
    replica.hold()
    async with AsyncExitStack() as streams:
        for _ in range(AT_ONCE):
            held = await streams.enter_async_context(open_stream(door, bearer("streams")))
            assert held.status == 200
        more = await reply(door.port, request(STREAM, bearer("streams")))
        assert (more.status, more["retry-after"]) == (429, ["5"])
        assert more.json()["detail"] == "too many requests at once; some must end first"
        assert more.json()["retry_after_s"] == 5
        async with open_stream(door, bearer("somebody-else")) as other:
            assert other.status == 200
        await asyncio.sleep(1.2)  # by now the rate has forgotten the ten
        assert (await reply(door.port, request(STREAM, bearer("streams")))).status == 429
        replica.free()
    async with asyncio.timeout(5):
        while (await reply(door.port, request(STREAM, bearer("streams")))).status == 429:
            await asyncio.sleep(0.05)  # NGINX has not seen all of them go yet
