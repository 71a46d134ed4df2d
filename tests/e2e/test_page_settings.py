"""The settings panel in a real Chromium: what is chosen, kept, sent, and what happens when it has gone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.support.browser import DESKTOP, PHONE, Reader, launched, reading
from tests.support.emulator import emulator
from tests.support.live_app import HOURS, live_app, settings_in
from tests.support.page_server import Script, Stage, create, model, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

Open = Callable[..., AbstractAsyncContextManager[Reader]]
WIDTHS = "document.documentElement.scrollWidth <= innerWidth && document.body.scrollWidth <= innerWidth"
PLAIN = model("plain:8b")
THINKER = model("thinker:8b", thinks=True, loaded=False)
SILENT = model("served", thinks=None, parameters="", loaded=None)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with launched() as it:
        yield it


@pytest.fixture(scope="module")
def stage() -> Stage:
    return Stage(Script())


@pytest.fixture(scope="module")
def url(stage: Stage) -> Iterator[str]:
    with serving(create(stage)) as address:
        yield address


@pytest.fixture(autouse=True)
def script(stage: Stage) -> Script:
    stage.script = Script(models=[PLAIN, THINKER, SILENT])
    return stage.script


@pytest.fixture
def tab(browser: Browser, url: str) -> Open:
    return lambda **options: reading(browser, url, **options)


async def opened(reader: Reader) -> None:
    await reader.page.click(".open-settings:visible >> nth=0")
    await reader.page.wait_for_selector("#settings[open] :is(.model, #models-note):visible")


async def choose(reader: Reader, name: str) -> None:
    await reader.page.click(f".model:has-text('{name}')")


async def closed(reader: Reader) -> None:
    await reader.page.keyboard.press("Escape")
    await reader.page.wait_for_selector("#settings", state="hidden")


async def asked(reader: Reader, script: Script) -> dict[str, object]:
    """What is sent with a question, besides the question."""
    await reader.ask("q")
    await reader.ended()
    return {key: value for key, value in script.asked[-1].items() if key in ("model", "options")}


async def test_models_are_shown_with_what_a_reader_wants_to_know(tab: Open):
    async with tab() as reader:
        await reader.go()
        await opened(reader)
        rows = await reader.page.locator(".model").all_inner_texts()
        assert [" ".join(row.split()) for row in rows] == [
            "plain:8b 8.0B · ready default",
            "thinker:8b 8.0B · can think first · takes a moment to start",
            "served",
        ]
        assert await reader.page.input_value("[name=model]:checked") == "plain:8b"


async def test_what_is_chosen_is_sent_shown_and_kept_and_the_default_is_not_sent(script: Script, tab: Open):
    async with tab() as reader:
        await reader.go()
        assert await asked(reader, script) == {}
        await opened(reader)
        await choose(reader, "served")
        await closed(reader)
        assert await asked(reader, script) == {"model": "served"}
        await reader.page.reload()
        await reader.page.wait_for_selector("#chosen:has-text('served')")
        assert await asked(reader, script) == {"model": "served"}
        await reader.page.click("#chosen")
        await choose(reader, "plain:8b")
        await closed(reader)
        assert not await reader.page.locator("#chosen").is_visible()
        assert await asked(reader, script) == {}


async def test_thinking_is_offered_where_the_model_can(script: Script, tab: Open):
    async with tab() as reader:
        page = reader.page
        await reader.go()
        await opened(reader)
        assert await page.locator("#thinking").is_disabled()
        await page.wait_for_selector("text=This model answers straight away.")
        await choose(reader, "thinker:8b")
        await page.check("#thinking")
        await closed(reader)
        assert await asked(reader, script) == {"model": "thinker:8b", "options": {"thinking": True}}
        await opened(reader)
        await choose(reader, "plain:8b")
        assert not await page.is_checked("#thinking")
        await closed(reader)
        assert await asked(reader, script) == {}
        await opened(reader)
        await choose(reader, "served")
        assert await page.is_checked("#thinking"), "it is remembered, and this one may be able to"
        await page.wait_for_selector("text=If this model can.")


async def test_advanced_values_are_what_the_api_accepts_and_go_back_to_the_defaults(
    script: Script, tab: Open
):
    async with tab() as reader:
        page = reader.page
        await reader.go()
        await opened(reader)
        await page.click("#advanced summary")
        assert await page.locator("#settings-reset").is_disabled()
        await page.focus("#temperature")
        for _ in range(3):
            await page.keyboard.press("ArrowRight")
        await page.focus("#length")
        await page.keyboard.press("Home")
        assert await page.inner_text("#temperature-value") == "0.3"
        assert await page.inner_text("#length-value") == "about 20 words"
        await closed(reader)
        assert await asked(reader, script) == {"options": {"temperature": 0.3, "max_tokens": 32}}
        await page.reload()
        await page.click("#chosen:has-text('adjusted')")
        await page.click("#settings-reset")
        assert await page.locator("#temperature").input_value() == "0"
        await closed(reader)
        assert await asked(reader, script) == {}


async def test_a_choice_that_is_away_is_said_quietly_and_counts_again_when_it_is_back(
    script: Script, tab: Open
):
    async with tab() as reader:
        page = reader.page
        await reader.go()
        await opened(reader)
        await choose(reader, "thinker:8b")
        script.models = [PLAIN]
        await page.reload()
        await page.wait_for_selector("#choice-note:has-text('thinker:8b is not available right now.')")
        assert await asked(reader, script) == {}
        assert script.calls["POST /chat/stream"] == 1, "nothing was tried in vain"
        await opened(reader)
        await page.wait_for_selector(".model:has-text('thinker:8b'):has-text('not available right now')")
        script.models = [PLAIN, THINKER]
        await closed(reader)
        await page.reload()
        await page.wait_for_selector("#chosen:has-text('thinker:8b')")
        assert not await page.locator("#choice-note").is_visible()
        assert await asked(reader, script) == {"model": "thinker:8b"}


async def test_a_model_that_goes_while_the_page_is_open_costs_no_answer(script: Script, tab: Open):
    async with tab() as reader:
        await reader.go()
        await opened(reader)
        await choose(reader, "thinker:8b")
        await closed(reader)
        script.models = [PLAIN]
        assert await asked(reader, script) == {}
        assert [body.get("model") for body in script.asked] == ["thinker:8b", None]
        assert await reader.page.locator(".turn").count() == 1
        await reader.page.wait_for_selector("#choice-note:has-text('The default model answers instead.')")


async def test_with_no_model_at_all_it_says_that_answers_are_quoted(script: Script, tab: Open):
    script.models = []
    async with tab() as reader:
        await reader.go()
        await opened(reader)
        await reader.page.wait_for_selector("text=No language model can be reached right now")
        assert not await reader.page.locator("#settings-body").is_visible()


async def test_a_list_that_cannot_be_read_says_why_and_is_read_again(tab: Open):
    async with tab() as reader:
        await reader.page.route("**/api/v1/models", lambda route: route.abort("connectionrefused"))
        await reader.go()
        await opened(reader)
        await reader.page.wait_for_selector("#models-note:has-text('cannot be reached')")
        await reader.page.unroute("**/api/v1/models")
        await closed(reader)
        await opened(reader)
        await reader.page.wait_for_selector(".model:has-text('plain:8b')")
        assert not await reader.page.locator("#models-note").is_visible()


@pytest.mark.parametrize(
    "kept", ["{", "3", "null", '{"model":7,"thinking":"yes","temperature":9,"maxTokens":1.5}', '{"model":""}']
)
async def test_nonsense_in_the_storage_is_as_nothing(script: Script, tab: Open, kept: str):
    async with tab() as reader:
        await reader.go()
        await reader.page.evaluate("kept => localStorage.setItem('libri.choice', kept)", kept)
        await reader.page.reload()
        await reader.page.wait_for_selector("html[data-ready]")
        assert await asked(reader, script) == {}


async def test_without_storage_a_choice_counts_for_the_page(script: Script, tab: Open):
    forbidden = "Storage.prototype.getItem = Storage.prototype.setItem = () => { throw new Error('no') }"
    async with tab() as reader:
        await reader.page.add_init_script(forbidden)
        await reader.go()
        await opened(reader)
        await choose(reader, "served")
        await closed(reader)
        assert await asked(reader, script) == {"model": "served"}


async def test_a_question_taken_up_after_a_reload_is_the_same_question(script: Script, tab: Open):
    async with tab() as reader:
        await reader.go()
        await opened(reader)
        await choose(reader, "thinker:8b")
        await reader.page.check("#thinking")
        await closed(reader)
        posts: list[str | None] = []
        reader.page.on(
            "request", lambda request: posts.append(request.post_data) if is_question(request) else None
        )
        await reader.page.route("**/chat/stream", lambda route: route.abort("connectionrefused"), times=1)
        await reader.ask("q")
        await reader.page.wait_for_selector("text=The assistant cannot be reached")
        await reader.page.reload()
        await reader.ended()
        assert script.asked[-1]["model"] == "thinker:8b"
        assert len(posts) >= 2
        assert len(set(posts)) == 1


def is_question(request: object) -> bool:
    return str(getattr(request, "url", "")).endswith("/chat/stream")


async def test_it_is_used_with_the_keyboard_alone(script: Script, tab: Open):
    async with tab() as reader:
        page = reader.page
        await reader.go()
        await page.wait_for_selector(".model", state="attached")
        await page.focus("#side .open-settings")
        await page.keyboard.press("Enter")
        await page.wait_for_selector("#settings[open]")
        assert await page.evaluate("document.activeElement.value") == "plain:8b"
        await page.keyboard.press("ArrowDown")
        assert await page.evaluate("document.activeElement.value") == "thinker:8b"
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.id") == "thinking"
        await page.keyboard.press("Space")
        await page.keyboard.press("Escape")
        assert await page.evaluate("document.activeElement.matches('#side .open-settings')")
        assert await asked(reader, script) == {"model": "thinker:8b", "options": {"thinking": True}}


@pytest.mark.parametrize("locale", ["en-GB", "fr-FR"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_it_fits_every_screen_and_every_control_has_a_name(
    script: Script, tab: Open, viewport: dict[str, int], locale: str
):
    script.models = [PLAIN, model("a-very-long-name-of-a-model/" * 4 + "end"), THINKER]
    is_phone = viewport is PHONE
    async with tab(viewport=viewport, locale=locale, has_touch=is_phone, is_mobile=is_phone) as reader:
        page = reader.page
        await reader.go()
        await opened(reader)
        await page.wait_for_selector(".model")
        await page.click("#advanced summary")
        assert await page.evaluate(WIDTHS)
        assert await page.locator("#settings").evaluate("d => d.scrollWidth <= d.clientWidth")
        nameless = """d => [...d.querySelectorAll("input, button")].filter((one) =>
            !(one.labels?.[0]?.innerText || one.innerText || one.getAttribute("aria-label")).trim()).length"""
        assert await page.locator("#settings").evaluate(nameless) == 0
        await page.locator("#settings-reset").scroll_into_view_if_needed()
        await page.click("#settings .close")
        await page.wait_for_selector("#settings", state="hidden")


async def test_the_language_changes_in_the_panel_as_well(tab: Open):
    async with tab() as reader:
        await reader.go()
        await reader.page.click("#language")
        await opened(reader)
        await reader.page.wait_for_selector("#settings:has-text('Qui répond')")
        await reader.page.wait_for_selector(".badge:has-text('par défaut')")


async def test_a_real_model_server_is_chosen_from_and_thinks_aloud(
    browser: Browser, tmp_path: Path, models_dir: Path
):
    async with emulator(time_scale=0.001, reply="It opens at nine [1].") as ollama:
        engine = {"ollama_urls": [ollama.url], "model": "llama3.1:8b"}
        settings = settings_in(tmp_path / "data", models_dir, engine=engine)
        async with live_app(settings, instances=None) as app, reading(browser, app.url) as reader:
            await app.put(HOURS)
            await reader.go()
            await opened(reader)
            await choose(reader, "qwen3:8b")
            await reader.page.check("#thinking")
            await closed(reader)
            await reader.ask("When does the library open in the morning?")
            await reader.ended()
            await reader.page.wait_for_selector("details.thinking:visible")
            assert (await ollama.requests())[-1]["model"] == "qwen3:8b"
