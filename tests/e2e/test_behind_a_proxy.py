"""The page in a real Chromium through a real NGINX, with the configurations that we ship."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from backend.engines.base import Endpoint, GenerationRequest, Text
from backend.engines.scripted import Hold, Script, ScriptedEngine, recite
from devstack.nginx import BELOW_A_PATH, LISTED, NAME, TLS
from tests.support.browser import ARGUMENTS, Reader, chromium, reading
from tests.support.live_app import GARDEN, HOURS, LiveApp, live_app, scripted, settings_in
from tests.support.proxy import front

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "key-of-this-test"
WORDS = [f"w{n}" for n in range(40)]


class Library:
    """The model. Where the question is when, it stops in mid-answer until `go_on`."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()

    def answer(self, _: Endpoint, request: GenerationRequest) -> Script:
        if "When does" in request.question:
            return (Text(" ".join(WORDS[:10]) + " "), Hold(self.go_on), *recite(" ".join(WORDS[10:])))
        return recite("**It** can be renewed twice [1].")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def library() -> Library:
    return Library()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(
    library: Library, tmp_path_factory: pytest.TempPathFactory, models_dir: Path
) -> AsyncIterator[LiveApp]:
    settings = settings_in(
        tmp_path_factory.mktemp("proxied") / "data",
        models_dir,
        auth={"api_key": KEY},
        server={"allowed_hosts": (NAME,)},
    )
    async with live_app(settings, scripted(ScriptedEngine(choose=library.answer))) as live:
        await live.put(HOURS)
        yield live


@pytest.fixture(scope="module")
def ports(app: LiveApp) -> Iterator[dict[str, int]]:
    """Where NGINX listens, by the configuration's name."""
    with ExitStack() as stack:
        yield {
            conf: stack.enter_context(front([app.url], conf=conf)).port
            for conf in (LISTED, TLS, BELOW_A_PATH)
        }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(ports: dict[str, int]) -> AsyncIterator[Browser]:
    """A browser that finds the name here, on any port; port 80 and 443 are those of NGINX."""
    places = {f"{NAME}:80": ports[LISTED], f"{NAME}:443": ports[TLS]}
    rules = [f"MAP {name} 127.0.0.1:{port}" for name, port in places.items()] + [f"MAP {NAME} 127.0.0.1"]
    async with async_playwright() as playwright:
        arguments = [*ARGUMENTS, f"--host-resolver-rules={','.join(rules)}"]
        it = await playwright.chromium.launch(executable_path=chromium(), args=arguments)
        try:
            yield it
        finally:
            await it.close()


def addresses(ports: dict[str, int]) -> dict[str, str]:
    return {
        "a port": f"http://{NAME}:{ports[LISTED]}/",
        "no port": f"http://{NAME}/",
        "TLS": f"https://{NAME}/",
        "TLS and a port": f"https://{NAME}:{ports[TLS]}/",
        "a prefix": f"http://{NAME}:{ports[BELOW_A_PATH]}/assist/",
        "a prefix without its last slash": f"http://{NAME}:{ports[BELOW_A_PATH]}/assist",
    }


@pytest.mark.parametrize(
    "place",
    ["a port", "no port", "TLS", "TLS and a port", "a prefix", "a prefix without its last slash"],
)
async def test_a_reader_asks_reloads_goes_on_and_stops(
    place: str, app: LiveApp, library: Library, ports: dict[str, int], browser: Browser
):
    library.go_on.clear()
    address = addresses(ports)[place]
    async with reading(browser, address, ignore_https_errors=True) as reader:
        await signed_in(reader)
        await reader.ask("When does the library open?")
        await reader.page.wait_for_selector("text=w5 ")
        assert reader.page.url.startswith(f"{address.rstrip('/')}/?c=")
        await reader.page.reload()
        await reader.page.wait_for_selector("text=w5 ")
        library.go_on.set()
        await reader.ended()
        assert await reader.answer() == " ".join(WORDS)
        await reader.ask("How often can a loan be renewed?")
        await reader.ended()
        await reader.page.click(".cite")
        await reader.page.wait_for_selector("#source mark:has-text('A loan can be renewed twice')")
        library.go_on.clear()
        await reader.ask("When does it open, please?")
        await reader.page.wait_for_selector(".turn:last-child .answer:has-text('w5')")
        await reader.page.keyboard.press("Escape")
        await reader.page.wait_for_selector("text=You stopped this answer.")


@pytest.mark.parametrize("place", ["a port", "TLS", "a prefix"])
async def test_a_reader_uploads_and_signs_out(place: str, ports: dict[str, int], browser: Browser):
    name, content = GARDEN
    async with reading(browser, addresses(ports)[place], ignore_https_errors=True) as reader:
        page = reader.page
        await signed_in(reader)
        await page.click("#open-documents")
        file = {"name": f"{place} {name}", "mimeType": "text/plain", "buffer": content}
        await page.set_input_files("#files", [file])
        await page.wait_for_selector("#ingestions:has-text('added'), #ingestions:has-text('unchanged')")
        cookie = (await page.context.cookies())[0]
        assert cookie["path"] == ("/assist" if place == "a prefix" else "/")
        assert cookie["secure"] == (place == "TLS")
        await page.keyboard.press("Escape")
        await page.click("#sign-out")
        await page.wait_for_selector("#sign-in[open]")
        assert await page.context.cookies() == []
        assert page.url == addresses(ports)[place]


@pytest.mark.parametrize("config", [LISTED, TLS, BELOW_A_PATH])
@pytest.mark.parametrize("host", ["$http_host", "$host"])
async def test_without_word_from_the_browser_its_own_page_is_told_from_another(
    config: str, host: str, app: LiveApp
):
    with front([app.url], conf=config, changes={"$http_host": host}) as running:
        port = running.port
        scheme = "https" if config == TLS else "http"
        api = f"{scheme}://127.0.0.1:{port}{'/assist' if config == BELOW_A_PATH else ''}/api/v1/session"
        async with httpx.AsyncClient(verify=False) as client:
            for page, status in (
                (f"{scheme}://{NAME}:{port}", 204),
                (f"{scheme}://evil.example:{port}", 403),
                ("null", 403),
            ):
                headers = {"Host": f"{NAME}:{port}", "Origin": page}
                answer = await client.post(api, json={"key": KEY}, headers=headers)
                assert answer.status_code == status, page
            signed_in = await client.get(api + "/", headers={"Host": f"{NAME}:{port}"})
            assert signed_in.status_code == 200  # and no redirect
            elsewhere = {"Host": f"{NAME}:{port}", "Origin": f"{scheme}://{NAME}:1"}
            another_port = await client.post(api, json={"key": KEY}, headers=elsewhere)
            assert another_port.status_code == (403 if host == "$http_host" else 204)


async def test_the_page_comes_compressed_and_its_files_for_good_each_header_once(ports: dict[str, int]):
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{ports[LISTED]}", headers={"Host": NAME}, trust_env=False
    ) as client:
        page = await client.get("/")
        assert (page.status_code, page.headers["content-encoding"]) == (200, "gzip")
        assert page.headers["cache-control"] == "no-cache"
        again = await client.get("/", headers={"If-None-Match": page.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        path = re.findall(r'src="(assets/[^"]+/page.js)"', page.text)[0]
        file = await client.get(f"/{path}")
        assert file.headers["cache-control"] == "public, max-age=31536000, immutable"
        for answer in (page, file, await client.get("/api/v1/session"), await client.get("/metrics")):
            names = [name for name, _ in answer.headers.multi_items()]
            assert len(names) == len(set(names)), names
            assert {"x-content-type-options", "content-security-policy", "x-request-id"} <= set(names)


async def test_over_tls_the_browser_speaks_http_2(ports: dict[str, int], browser: Browser):
    async with reading(browser, addresses(ports)["TLS"], ignore_https_errors=True) as reader:
        await signed_in(reader)
        spoken = "performance.getEntriesByType('resource').map((one) => one.nextHopProtocol)"
        assert set(await reader.page.evaluate(spoken)) == {"h2"}


async def test_a_proxy_that_leaves_the_prefix_on_is_understood(
    tmp_path: Path, models_dir: Path, ports: dict[str, int], browser: Browser
):
    settings = settings_in(
        tmp_path / "data",
        models_dir,
        auth={"api_key": KEY},
        server={"allowed_hosts": (NAME,), "root_path": "/assist"},
    )
    async with live_app(settings) as app:
        with front([app.url]) as running:
            top = f"http://{NAME}:{running.port}"
            for address in (f"{top}/assist", f"{top}/assist/"):
                async with reading(browser, address) as reader:
                    await signed_in(reader)
                    assert (await reader.page.context.cookies())[0]["path"] == "/assist"


async def signed_in(reader: Reader) -> None:
    await reader.go("")
    await reader.page.fill("#key", KEY)
    await reader.page.press("#key", "Enter")
    await reader.page.wait_for_selector("#sign-out:visible")
