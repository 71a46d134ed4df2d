"""The page in a real Chromium, on the real application; only the model server follows a script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from backend.engines.base import Endpoint, GenerationRequest, Text
from backend.engines.scripted import Hold, Script, ScriptedEngine, recite
from tests.support.browser import launched, reading
from tests.support.live_app import GARDEN, HOURS, LiveApp, live_app, scripted, settings_in

pytestmark = pytest.mark.asyncio(loop_scope="module")

WORDS = [f"w{n}" for n in range(60)]
BEGUN, REST = f"It opens at nine [1]. {' '.join(WORDS[:10])} ", " ".join(WORDS[10:])


class Library:
    """The model. Where the question is when, it stops in mid-answer until `go_on`.

    The same message holds the passages.
    """

    def __init__(self) -> None:
        self.go_on = asyncio.Event()

    def answer(self, _: Endpoint, request: GenerationRequest) -> Script:
        if "When does" in request.messages[-1].content:
            return (Text(BEGUN), Hold(self.go_on), *recite(REST))
        return recite("**It** can be renewed twice [1].")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def library() -> Library:
    return Library()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(
    library: Library, tmp_path_factory: pytest.TempPathFactory, models_dir: Path
) -> AsyncIterator[LiveApp]:
    settings = settings_in(tmp_path_factory.mktemp("page") / "data", models_dir)
    async with live_app(settings, scripted(ScriptedEngine(choose=library.answer))) as live:
        await live.put(HOURS)
        yield live


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with launched() as it:
        yield it


async def test_a_question_is_answered_and_its_source_opens_at_the_passage(app: LiveApp, browser: Browser):
    async with reading(browser, app.url) as reader:
        await reader.go()
        await reader.ask("How often can a loan be renewed?")
        await reader.ended()
        await reader.page.wait_for_selector(".answer strong")
        await reader.page.click(".cite")
        await reader.page.wait_for_selector(
            "#source mark:has-text('A loan can be renewed twice, for three weeks each')"
        )
        await reader.page.click(".up")
        await reader.page.wait_for_selector("text=Thank you")


async def test_a_reload_in_mid_answer_loses_and_repeats_nothing(
    app: LiveApp, library: Library, browser: Browser
):
    async with reading(browser, app.url) as reader:
        await reader.go()
        await reader.ask("When does the library open?")
        await reader.page.wait_for_selector("text=w5 ")
        await reader.page.reload()
        await reader.page.wait_for_selector(".turn[data-phase=writing]")
        library.go_on.set()
        await reader.ended()
        await reader.page.wait_for_selector(".cite")
        assert (await reader.answer()).replace("\u202f", " ") == BEGUN + REST
        await reader.page.reload()
        await reader.page.wait_for_selector(".cite")
        assert (await reader.answer()).replace("\u202f", " ") == BEGUN + REST
        await reader.page.hover("#conversations li")
        await reader.page.click("#conversations .remove")
        await reader.page.click("#confirm button[value=yes]")
        await reader.page.wait_for_selector("#welcome:visible")


async def test_stop_stops_and_keeps_what_was_written(app: LiveApp, library: Library, browser: Browser):
    library.go_on.clear()
    async with reading(browser, app.url) as reader:
        await reader.go()
        await reader.ask("When does it open, please?")
        await reader.page.wait_for_selector("text=w3 ")
        await reader.page.keyboard.press("Escape")
        await reader.page.wait_for_selector("text=You stopped this answer.")
        assert "w59" not in await reader.answer()


async def test_an_uploaded_document_answers_the_next_question(app: LiveApp, browser: Browser):
    name, content = GARDEN
    async with reading(browser, app.url, locale="fr-FR") as reader:
        page = reader.page
        await reader.go()
        await page.click("#open-documents")
        await page.set_input_files("#files", [{"name": name, "mimeType": "text/plain", "buffer": content}])
        await page.wait_for_selector("#ingestions:has-text('jardin.txt · ajouté')", timeout=20_000)
        await page.wait_for_selector("#document-list:has-text('jardin')")
        await page.keyboard.press("Escape")
        await reader.ask("À quelle heure ferme le jardin de lecture ?")
        await reader.ended()
        await page.click(".cite")
        await page.wait_for_selector("#source mark:has-text('dix-huit heures en hiver')")


async def test_without_a_model_the_page_says_that_it_quotes(
    browser: Browser, tmp_path: Path, models_dir: Path
):
    async with live_app(settings_in(tmp_path / "data", models_dir)) as app:
        await app.put(HOURS)
        async with reading(browser, app.url) as reader:
            await reader.go()
            await reader.ask("When does the library open in the morning?")
            await reader.ended()
            await reader.page.wait_for_selector("text=Quoted straight from the documents")
            assert "nine in the morning" in await reader.answer()
