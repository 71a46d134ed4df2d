"""A real Chromium for tests of the page, and a page that notes whatever goes wrong in it."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
]
PHONE = {"width": 360, "height": 740}
DESKTOP = {"width": 1280, "height": 800}


def chromium() -> str:
    """Path of the browser; without one the test is skipped, or fails in CI."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None and os.environ.get("CI"):
        pytest.fail("no Chromium: CI must have one")
    if path is None:
        pytest.skip("no Chromium: the tests of the page need one")
    return path


@asynccontextmanager
async def launched() -> AsyncIterator[Browser]:
    """A browser for the length of the block."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Reader:
    """A reader's tab.

    Attributes:
        errors: Exceptions and policy violations in the page.
        elsewhere: Addresses of other sites that the page asked for.
    """

    page: Page
    url: str
    errors: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    def watch(self) -> None:
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._said)
        self.page.on("request", self._asked)

    def _said(self, message: ConsoleMessage) -> None:
        is_status = message.text.startswith("Failed to load resource: the server responded")
        if message.type == "error" and not is_status and "net::ERR_" not in message.text:
            self.errors.append(message.text)

    def _asked(self, request: Request) -> None:
        if urlsplit(request.url).netloc != urlsplit(self.url).netloc:
            self.elsewhere.append(request.url)

    async def go(self, path: str = "/") -> None:
        await self.page.goto(self.url + path)
        await self.page.wait_for_selector("html[data-ready]")

    async def ask(self, question: str) -> None:
        await self.page.fill("#question", question)
        await self.page.press("#question", "Enter")

    async def ended(self, phase: str = "done") -> None:
        await self.page.wait_for_selector(f".turn:last-child[data-phase={phase}]")

    async def answer(self) -> str:
        return await self.page.locator(".turn:last-child .answer").inner_text()

    async def holds(self, expression: str, timeout_ms: int = 20_000) -> None:
        """Wait until a JavaScript expression is true; polled from here: the page's policy forbids eval."""
        async with asyncio.timeout(timeout_ms / 1000):
            while not await self.page.evaluate(expression):
                await asyncio.sleep(0.05)


@asynccontextmanager
async def reading(browser: Browser, url: str, **options: object) -> AsyncIterator[Reader]:
    """A tab with a fresh profile; at the end nothing may have gone wrong in it."""
    given = {"locale": "en-GB", "viewport": DESKTOP, "reduced_motion": "reduce"} | options
    context = await browser.new_context(**given)  # type: ignore[arg-type]
    context.set_default_timeout(20_000)
    reader = Reader(await context.new_page(), url)
    reader.watch()
    try:
        yield reader
    finally:
        await context.close()
    assert reader.errors == []
    assert reader.elsewhere == []
