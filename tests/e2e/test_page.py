"""The page in a real Chromium, against an obedient stand-in for the API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Route

from tests.support.browser import DESKTOP, PHONE, Reader, launched, reading
from tests.support.page_server import (
    ANSWER,
    PASSAGE,
    Script,
    Stage,
    Step,
    create,
    delta,
    document,
    done,
    failed,
    serving,
    source,
    sources,
)
from tests.support.xss_payloads import PAYLOADS

pytestmark = pytest.mark.asyncio(loop_scope="module")

Open = Callable[..., AbstractAsyncContextManager[Reader]]
WORDS = [f"w{n} " for n in range(40)]
WIDTHS = "document.documentElement.scrollWidth <= innerWidth && document.body.scrollWidth <= innerWidth"


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
    stage.script = Script()
    return stage.script


@pytest.fixture
def tab(browser: Browser, url: str) -> Open:
    return lambda **options: reading(browser, url, **options)


async def test_an_answer_is_shown_while_it_is_written_and_becomes_html(script: Script, tab: Open):
    script.answers["q"] = [
        sources(source(1)),
        delta("# Hours\n\n**Nine** [1].\n\nAnd "),
        delta("more.", gate="rest"),
        done(),
    ]
    async with tab() as reader:
        await reader.go()
        await reader.ask("q")
        await reader.page.wait_for_selector(".answer strong")  # the finished block, before the end
        assert await reader.page.locator(".turn").get_attribute("data-phase") == "writing"
        assert (await reader.page.locator(".answer .tail").last.inner_text()).strip() == "And"
        assert await reader.page.title() == "Writing · LibriAssist"
        script.gates.add("rest")
        await reader.ended()
        await reader.page.wait_for_selector(".answer p:has-text('And more.')")
        assert await reader.page.locator(".answer .tail").count() == 0
        assert await reader.page.title() == "LibriAssist"


async def test_a_list_that_is_still_being_written_has_bullets(script: Script, tab: Open):
    said = [delta(piece) for piece in ("To renew:\n\n", "- ask *us*;\n", "  -", " or\n", "- call - a - lot")]
    code = [delta("\n\n```\n- code\n", gate="code"), delta("```\n", gate="rest")]
    script.answers["q"] = [*said, *code, done(citations=())]
    async with tab() as reader:
        await reader.go()
        await reader.ask("q")
        tail = reader.page.locator(".answer .tail:last-child")
        await reader.page.wait_for_selector(".tail:has-text('lot')")
        assert await tail.inner_text() == "• ask *us*;\n  • or\n• call - a - lot"
        script.gates.add("code")
        await reader.page.wait_for_selector("li li:has-text('or')")
        assert await tail.inner_text() == "```\n- code\n"
        script.gates.add("rest")
        await reader.ended()
        await reader.page.wait_for_selector(".answer pre:has-text('- code')")


async def test_reasoning_told_as_the_answer_moves_to_the_thoughts(script: Script, tab: Open):
    misplaced = (
        Step("replace", {"channel": "answer", "text": "", "reason": "this was reasoning"}, gate="moved"),
        Step("thinking", {"text": "secret **plan**\n\nof two blocks"}),
    )
    said = [sources(source(1)), delta("secret **plan**\n\nof two"), delta(" blocks")]
    script.answers["q"] = [*said, *misplaced, delta("**Nine** [1].", gate="rest"), delta(" More."), done()]
    async with tab() as reader:
        await reader.go()
        await reader.ask("q")
        await reader.page.wait_for_selector(".answer strong:has-text('plan')")
        script.gates.add("moved")
        await reader.page.wait_for_selector(".turn[data-phase=thinking] .thinking:not([hidden])")
        assert await reader.answer() == ""
        script.gates.add("rest")
        await reader.ended()
        await reader.page.wait_for_selector(".answer .cite")
        assert (await reader.answer()).replace("\u202f", " ") == "Nine [1]. More."
        thoughts = reader.page.locator(".turn .thinking > div")
        assert await thoughts.text_content() == "secret **plan**\n\nof two blocks"


async def test_reasoning_alone_leaves_thoughts_and_the_words_that_are_quoted(script: Script, tab: Open):
    moved = Step("replace", {"channel": "answer", "text": "", "reason": "this was reasoning"})
    gone = Step("replace", {"channel": "thinking", "text": "", "reason": "quoted from the documents instead"})
    thoughts = [sources(source(1)), delta("secret plan"), moved, Step("thinking", {"text": "secret plan"})]
    script.answers["q"] = [
        *thoughts,
        gone,
        delta("The library opens at nine [1]."),
        done(degraded=("model",)),
    ]
    async with tab() as reader:
        await reader.go()
        await reader.ask("q")
        await reader.ended()
        await reader.page.wait_for_selector(".answer .cite")
        assert "secret" not in await reader.page.locator(".turn").inner_text()
        assert not await reader.page.locator(".thinking").is_visible()
        note = "Quoted straight from the documents: no language model gave an answer."
        assert await reader.page.locator(".turn .note").inner_text() == note


async def test_a_screen_reader_hears_each_block_once(script: Script, tab: Open):
    script.answers["q"] = [delta("One.\n\nTwo.\n\n"), delta("Three.", 0.6), done(citations=())]
    async with tab() as reader:
        await reader.go()
        await reader.ask("q")
        await reader.holds("document.getElementById('live').textContent.includes('Answer complete')")
        heard = await reader.page.locator("#live").inner_text()
        assert [heard.count(word) for word in ("One.", "Two.", "Three.")] == [1, 1, 1]
        assert await reader.page.locator(".answer").get_attribute("aria-live") is None


async def test_stop_keeps_what_is_written(script: Script, tab: Open):
    script.answers["q"] = [delta("Begun"), *(delta(word, 0.5) for word in WORDS), done()]
    async with tab() as reader:
        await reader.go()
        await reader.ask("q")
        await reader.page.wait_for_selector("text=Begun")
        await reader.page.click("#stop")
        await reader.page.wait_for_selector("text=You stopped this answer.")
        assert "Begun" in await reader.answer()
        assert await reader.page.locator("#send").is_visible()


async def test_a_reload_in_mid_answer_takes_it_up_with_no_token_twice(script: Script, tab: Open):
    script.answers["q"] = [sources(source(1)), *(delta(word, 0.05) for word in WORDS), done()]
    async with tab() as reader:
        await reader.go()
        await reader.ask("q")
        await reader.page.wait_for_selector("text=w5 ")
        await reader.page.reload()
        await reader.page.wait_for_selector("text=w12 ")
        await reader.ended()
        assert (await reader.answer()).split() == "".join(WORDS).split()
        assert script.calls["POST /chat/stream"] == 1


async def test_a_reload_before_the_server_has_answered_does_not_ask_twice(script: Script, tab: Open):
    script.answers["q"] = [delta("Once."), done(citations=())]
    async with tab() as reader:
        await reader.go()
        await reader.page.route("**/chat/stream", lambda route: route.abort("connectionrefused"), times=1)
        await reader.ask("q")
        await reader.page.wait_for_selector("text=The assistant cannot be reached")
        await reader.page.reload()
        await reader.ended()
        assert await reader.answer() == "Once."
        assert len(script.runs) == 1


async def test_a_dropped_connection_is_resumed_where_it_broke(script: Script, tab: Open):
    steps = [delta(word, 0.03, cut=n in {7, 20}) for n, word in enumerate(WORDS)]
    script.answers["q"] = [sources(source(1)), *steps, done()]
    script.refuse_events = 3
    script.overlap = 2
    async with tab() as reader:
        await reader.go()
        await reader.ask("q")
        await reader.page.wait_for_selector(
            ".turn[data-connection=reconnecting] .status:has-text('Reconnecting')"
        )
        await reader.ended()
        assert (await reader.answer()).split() == "".join(WORDS).split()
        assert script.resumed_from == ["1-9", "1-22"]
        assert script.calls["POST /chat/stream"] == 1


async def test_a_lost_reply_is_asked_again_with_the_same_key(script: Script, tab: Open):
    async with tab() as reader:
        await reader.go()
        await reader.page.route("**/chat/stream", lambda route: route.abort("connectionreset"), times=1)
        await reader.ask("q")
        await reader.ended()
        assert len(script.by_key) == 1


@pytest.mark.parametrize(("status", "code"), [(502, "bad_gateway"), (504, "gateway_timeout")])
async def test_a_question_that_no_replica_answered_is_asked_again_with_the_same_key(
    status: int, code: str, script: Script, tab: Open
):
    said = {"status": status, "code": code, "retryable": True, "retry_after_s": 1}
    async with tab() as reader:
        await reader.go()
        await reader.page.route(
            "**/chat/stream", lambda route: route.fulfill(status=status, json=said), times=1
        )
        await reader.ask("q")
        await reader.ended()
        assert len(script.by_key) == 1


async def test_a_reader_who_comes_back_too_often_waits_and_goes_on(script: Script, tab: Open):
    script.answers["q"] = [
        sources(source(1)),
        *(delta(word, cut=n == 7) for n, word in enumerate(WORDS)),
        done(),
    ]
    said = {"status": 429, "code": "quota_exceeded", "retryable": True, "retry_after_s": 1}
    async with tab() as reader:
        await reader.go()
        refused: list[float] = []

        async def refuse(route: Route) -> None:
            refused.append(asyncio.get_running_loop().time())
            await route.fulfill(status=429, json=said)

        await reader.page.route("**/events", refuse, times=2)
        await reader.ask("q")
        await reader.ended()
        assert (await reader.answer()).split() == "".join(WORDS).split()
        assert refused[1] - refused[0] >= 1.0


async def test_waiting_says_the_place_and_the_time(script: Script, tab: Open):
    script.answers["q"] = [
        Step("queue", {"position": 3, "eta_s": 20, "eta_high_s": 130}),
        Step("queue", {"position": 1, "eta_s": 2, "eta_high_s": 3}, gate="next"),
        Step("sources", {"sources": [source(1)], "degraded": []}, gate="found"),
        delta("Now.", gate="said"),
        done(),
    ]
    async with tab() as reader:
        await reader.go()
        await reader.ask("q")
        first = "You are 3rd in line.", "Expect 20 seconds to two minutes."
        await reader.page.wait_for_selector(".wait" + "".join(f":has-text('{words}')" for words in first))
        assert await reader.page.title() == "Waiting · LibriAssist"
        script.gates.add("next")
        await reader.page.wait_for_selector(".wait:has-text('You are next.'):has-text('Only a moment now.')")
        script.gates.add("found")
        await reader.page.wait_for_selector("text=Reading one passage…")
        script.gates.add("said")
        await reader.ended()
        assert not await reader.page.locator(".status").is_visible()


PLACES = [(21, 400, 590), (4, 95, 170), (2, 41, 130), (2, 22, 38), (1, 3, 12), (1, 0, 2)]


@pytest.mark.parametrize(
    ("locale", "first", "last"),
    [
        ("en-GB", ("You are 21st in line.", "six to ten minutes"), ("You are next.", "Only a moment")),
        (
            "fr-FR",
            ("Vous êtes en 21e position", "six à dix minutes"),
            ("bientôt votre tour.", "Plus qu’un instant"),
        ),
    ],
)
async def test_a_wait_that_grows_shorter_moves_nothing_on_a_phone(
    script: Script, tab: Open, locale: str, first: tuple[str, str], last: tuple[str, str]
):
    script.answers["q"] = [
        *(Step("queue", {"position": n, "eta_s": low, "eta_high_s": high}, 0.1) for n, low, high in PLACES),
        delta("Now.", 0.1),
        done(citations=()),
    ]
    async with tab(locale=locale, viewport=PHONE, has_touch=True, is_mobile=True) as reader:
        await reader.go()
        await reader.page.evaluate(
            """() => { window.heights = new Set(); window.told = [];
                const note = () => {
                    const wait = document.querySelector(".wait");
                    if (!wait) return;
                    heights.add(wait.parentElement.getBoundingClientRect().height);
                    told.push(wait.innerText);
                };
                new MutationObserver(note).observe(document.getElementById("turns"),
                    { subtree: true, childList: true, characterData: true }); }"""
        )
        await reader.ask("q")
        await reader.ended()
        told = await reader.page.evaluate("told")
        assert all(words in told[0] for words in first), told
        assert all(words in told[-1] for words in last), told
        assert await reader.page.evaluate("heights.size") == 1
        assert await reader.page.evaluate(WIDTHS)


async def test_a_screen_reader_hears_the_place_at_first_and_when_it_is_next(script: Script, tab: Open):
    script.answers["q"] = [
        *(Step("queue", {"position": n, "eta_s": 9 * n, "eta_high_s": 14 * n}, 0.1) for n in (7, 5, 3, 2, 1)),
        Step("queue", {"position": 1, "eta_s": 1, "eta_high_s": 3}, 0.1),
        delta("Now.", 0.1),
        done(citations=()),
    ]
    async with tab() as reader:
        await reader.go()
        await reader.ask("q")
        await reader.ended()
        heard = [
            line for line in (await reader.page.locator("#live").all_inner_texts())[0].split("\n") if line
        ]
        assert [line for line in heard if "in line" in line or "next" in line] == [
            "You are 7th in line. Expect about one to two minutes.",
            "You are next. Expect about 5 to 15 seconds.",
        ]
        assert await reader.page.locator(".status").get_attribute("role") is None


async def test_a_failed_answer_keeps_its_text_and_can_be_tried_again(script: Script, tab: Open):
    script.answers["q"] = [delta("Half"), failed("engine_timeout")]
    async with tab() as reader:
        await reader.go()
        await reader.ask("q")
        await reader.ended("failed")
        assert "The language model failed" in await reader.page.locator(".problem").inner_text()
        assert await reader.answer() == "Half"
        script.answers["q"] = ANSWER
        await reader.page.click(".retry")
        await reader.ended()
        assert await reader.page.locator(".turn").count() == 1
        assert len(script.by_key) == 2
        await reader.page.reload()
        await reader.page.wait_for_selector(".answer strong")
        assert await reader.page.locator(".turn").count() == 1


async def test_a_refusal_counts_down_before_it_offers_to_retry(script: Script, tab: Open):
    script.refusals = [(503, {"code": "pool_full", "retryable": True, "retry_after_s": 50})]
    async with tab() as reader:
        await reader.page.clock.install()
        await reader.go()
        await reader.ask("q")
        await reader.page.wait_for_selector("text=Too many people are asking right now.")
        await reader.page.wait_for_selector(".when:has-text('You can try again in')")
        assert await reader.page.locator(".retry").is_disabled()
        await reader.page.clock.fast_forward(51_000)
        await reader.page.wait_for_selector(".when:has-text('You can try again now.')")
        await reader.holds("document.getElementById('live').textContent.includes('You can try again now.')")
        await reader.page.locator(".retry:enabled").click()
        await reader.ended()
        assert await reader.page.locator(".turn").count() == 1


async def test_an_answer_refused_on_its_stream_says_when_to_ask_again(script: Script, tab: Open):
    script.answers["q"] = [sources(source(1)), failed("pool_full", retry_after_s=75)]
    async with tab(locale="fr-FR") as reader:
        await reader.go()
        await reader.ask("q")
        await reader.ended("failed")
        await reader.page.wait_for_selector(".problem:has-text('Trop de personnes posent des questions')")
        await reader.page.wait_for_selector(".when:has-text('Réessayez dans une minute.')")
        assert await reader.page.locator(".retry").is_disabled()


async def test_a_question_that_cannot_be_used_is_given_back(script: Script, tab: Open):
    script.refusals = [(422, {"code": "invalid_request"})]
    async with tab() as reader:
        await reader.go()
        await reader.ask("the question")
        await reader.page.click(".problem .edit")
        assert await reader.page.input_value("#question") == "the question"
        assert await reader.page.locator(".turn").count() == 0


async def test_no_answer_and_missing_parts_are_said(script: Script, tab: Open):
    script.answers["none"] = [sources(source(1)), delta("I do not know."), done("no_answer", citations=())]
    script.answers["quoted"] = [
        sources(source(1), degraded=("dense",)),
        delta("“Six.” [1]"),
        done(degraded=("model",)),
    ]
    async with tab() as reader:
        await reader.go()
        await reader.ask("none")
        await reader.page.wait_for_selector("[data-state=no_answer]")
        await reader.page.wait_for_selector("text=One passage was read")
        await reader.ask("quoted")
        await reader.page.wait_for_selector("text=Quoted straight from the documents")
        await reader.page.wait_for_selector("text=Searched by words only")


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_a_source_opens_at_the_passage_and_gives_the_focus_back(
    script: Script, tab: Open, viewport: dict[str, int]
):
    async with tab(viewport=viewport) as reader:
        await reader.go()
        await reader.ask("q")
        await reader.ended()
        await reader.page.click(".cite")
        mark = reader.page.locator("#source mark")
        await mark.wait_for()
        assert await mark.inner_text() == PASSAGE
        assert await mark.evaluate(
            "m => { const r = m.getBoundingClientRect(); return r.top >= 0 && r.bottom < innerHeight }"
        )
        assert await reader.page.evaluate(WIDTHS)
        before = len(await reader.page.locator(".page").inner_text())
        await reader.page.click("#source .more:has-text('after')")
        assert len(await reader.page.locator(".page").inner_text()) > before
        await reader.page.keyboard.press("Escape")
        assert not await reader.page.locator("#source").is_visible()
        assert await reader.page.evaluate("document.activeElement.className") == "cite"


async def test_a_source_that_is_gone_says_so(script: Script, tab: Open):
    script.answers["q"] = [sources(source(1, revision="gone")), delta("Six [1]."), done()]
    async with tab() as reader:
        await reader.go()
        await reader.ask("q")
        await reader.page.click("button.source")
        await reader.page.wait_for_selector("text=changed or removed since")


async def test_no_payload_runs_anything_or_asks_for_anything(script: Script, tab: Open):
    hostile = "\n\n".join(payload.replace("\ud800", "") for payload in PAYLOADS)
    script.answers["q"] = [
        sources(
            source(
                1, title="<img src=x onerror=alert(1)>", name="<script>alert(2)</script>", heading="<b>h</b>"
            )
        ),
        *(delta(hostile[at : at + 400]) for at in range(0, len(hostile), 400)),
        delta("\n\nEnd [1]"),
        done(),
    ]
    async with tab() as reader:
        dialogs: list[str] = []
        reader.page.on("dialog", lambda dialog: dialogs.append(dialog.message))
        await reader.go()
        await reader.ask("q")
        await reader.ended()
        await reader.page.wait_for_selector(".answer .cite")
        await reader.page.wait_for_timeout(300)
        active = "script, img, iframe, object, embed, svg:not(.icon), style, link, form, [style], [onerror]"
        assert await reader.page.locator(f".turn :is({active})").count() == 0
        assert dialogs == []


@pytest.mark.parametrize(
    ("locale", "words"),
    [
        ("fr-CA", ["Que souhaitez‑vous savoir", "Comment prolonger un prêt", "Nouvelle conversation"]),
        ("en-GB", ["What would you like to know?", "Can I renew a digital loan?", "New conversation"]),
        ("de-DE", ["What would you like to know?"]),
    ],
)
async def test_the_page_speaks_the_readers_language(tab: Open, locale: str, words: list[str]):
    async with tab(locale=locale) as reader:
        await reader.go()
        text = await reader.page.inner_text("body")
        assert [word for word in words if word not in text] == []
        assert await reader.page.get_attribute("html", "lang") == ("fr" if locale == "fr-CA" else "en")
        assert await reader.page.locator("[data-t]:visible:empty").count() == 0


async def test_the_language_changes_at_once_and_is_kept(tab: Open):
    async with tab() as reader:
        await reader.go()
        await reader.ask("q")
        await reader.ended()
        await reader.page.click("#language")
        await reader.page.wait_for_selector("[aria-label='Copier la réponse']")
        await reader.page.reload()
        await reader.page.wait_for_selector("html[lang=fr][data-ready]")


async def test_both_languages_have_the_same_words(tab: Open):
    async with tab() as reader:
        await reader.go()
        names = await reader.page.evaluate(
            """async () => {
                const { en } = await import("/assets/words.en.js");
                const { fr } = await import("/assets/words.fr.js");
                const holes = (words) => Object.entries(words).map(([key, phrase]) =>
                    key + [...new Set(JSON.stringify(phrase).match(/\\{\\w+\\}/g) ?? [])].sort().join());
                return [holes(en).sort(), holes(fr).sort()];
            }"""
        )
        assert set(names[0]) ^ set(names[1]) <= {"place.one", "place.one{n}"}  # French writes "1er"


@pytest.mark.parametrize("dark", [False, True])
async def test_a_phone_has_no_sideways_scroll(script: Script, tab: Open, dark: bool):
    wide = (
        "| a | b | c |\n|---|---|---|\n| "
        + "x" * 90
        + " | y | z |\n\n"
        + "unbroken" * 30
        + "\n\n```\n"
        + "z" * 200
        + "\n```"
    )
    script.answers["q" * 300] = [sources(source(1, name="n" * 120)), delta(wide + "\n\n[1]"), done()]
    async with tab(
        viewport=PHONE, has_touch=True, is_mobile=True, color_scheme="dark" if dark else "light"
    ) as reader:
        await reader.go()
        assert await reader.page.evaluate(WIDTHS)
        await reader.ask("q" * 300)
        await reader.ended()
        await reader.page.wait_for_selector(".answer table")
        assert await reader.page.evaluate(WIDTHS)
        light = await reader.page.evaluate(
            "getComputedStyle(document.body).backgroundColor.match(/\\d+/g)[0] > 128"
        )
        assert light is not dark
        await reader.page.click("#menu")
        await reader.page.wait_for_selector("#conversations a:visible")
        assert await reader.page.evaluate(WIDTHS)


async def test_the_chosen_colours_win_over_the_devices_and_are_kept(tab: Open):
    async with tab(color_scheme="light") as reader:
        await reader.go()
        await reader.page.click("#theme")
        await reader.page.click("#theme")
        await reader.page.reload()
        await reader.page.wait_for_selector("html[data-theme=dark]")
        assert await reader.page.inner_text("#theme") == "Theme: dark"


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_text_stands_out_from_its_background(tab: Open, theme: str):
    pairs = [
        ("ink", "paper"),
        ("soft", "paper"),
        ("soft", "leaf"),
        ("accent", "paper"),
        ("accent", "tint"),
        ("bad", "paper"),
    ]
    pairs += [
        ("on-accent", "accent"),
        ("ink", "mark"),
        ("ink", "bad-tint"),
        ("soft", "bad-tint"),
        ("soft", "tint"),
        ("bad", "bad-tint"),
    ]
    async with tab(color_scheme=theme) as reader:
        await reader.go()
        low = await reader.page.evaluate(
            """(pairs) => {
                const style = getComputedStyle(document.documentElement);
                const light = (name) => {
                    const hex = style.getPropertyValue("--" + name).trim();
                    const [r, g, b] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255)
                        .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
                    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
                };
                const ratio = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
                return pairs.filter(([a, b]) => !(ratio(light(a), light(b)) >= 4.5));
            }""",
            pairs,
        )
        assert low == []


async def test_everything_can_be_done_with_the_keyboard(script: Script, tab: Open):
    script.answers["slow"] = [delta("Slow"), *(delta(word, 0.5) for word in WORDS), done()]
    async with tab() as reader:
        page = reader.page
        await reader.go()
        await reader.holds("document.activeElement.id === 'question'")
        await page.keyboard.type("one")
        await page.keyboard.press("Shift+Enter")
        await page.keyboard.type("two")
        assert await page.input_value("#question") == "one\ntwo"
        await page.keyboard.press("Enter")
        await page.wait_for_selector(".cite")
        await page.locator("#scroll").focus()
        seen = []
        for _ in range(8):
            await page.keyboard.press("Tab")
            seen.append(await page.evaluate("document.activeElement.className || document.activeElement.id"))
        assert seen[:6] == ["cite", "source", "tool copy", "tool up", "tool down", "question"]
        await page.locator(".source").focus()
        await page.keyboard.press("Enter")
        await page.wait_for_selector("#source mark")
        await page.keyboard.press("Escape")
        await reader.holds("document.activeElement.className === 'source'")
        await page.keyboard.press("/")
        await reader.holds("document.activeElement.id === 'question'")
        await page.keyboard.type("slow")
        await page.keyboard.press("Enter")
        await page.wait_for_selector(".answer:has-text('Slow')")
        await page.keyboard.press("Escape")
        await page.wait_for_selector("text=You stopped this answer.")


async def test_the_first_tab_stop_leads_past_the_list(tab: Open):
    async with tab(has_touch=True, is_mobile=True) as reader:
        await reader.go()
        await reader.page.keyboard.press("Tab")
        assert await reader.page.evaluate("document.activeElement.className") == "skip"
        await reader.page.keyboard.press("Enter")
        assert await reader.page.evaluate("document.activeElement.id") == "question"


async def test_a_question_over_the_limit_is_told_kindly_and_not_sent(script: Script, tab: Open):
    async with tab() as reader:
        await reader.go()
        await reader.page.fill("#question", "é" * 7990)
        await reader.page.wait_for_selector("text=10 characters left")
        await reader.page.fill("#question", "\U0001f4da" * 8001)
        await reader.page.wait_for_selector("text=1 character too many: could you shorten it a little?")
        await reader.page.press("#question", "Enter")
        assert script.calls["POST /chat/stream"] == 0


async def test_the_readers_place_is_kept_unless_it_is_the_end(script: Script, tab: Open):
    lines = [delta(f"Line {n}.\n\n", 0.04) for n in range(60)]
    script.answers["q"] = [*lines, done(citations=())]
    async with tab() as reader:
        await reader.go()
        await reader.ask("q")
        await reader.page.wait_for_selector("text=Line 25.")
        at_end = "s => s.scrollHeight - s.scrollTop - s.clientHeight < 60"
        assert await reader.page.locator("#scroll").evaluate(at_end)
        await reader.page.locator("#scroll").evaluate("s => { s.scrollTop = 0 }")
        await reader.page.wait_for_selector("text=Line 45.")
        assert await reader.page.locator("#scroll").evaluate("s => s.scrollTop") == 0
        await reader.page.click("#latest")
        await reader.ended()
        assert await reader.page.locator("#scroll").evaluate(at_end)


async def test_ten_thousand_pieces_of_text_do_not_hold_the_page_up(script: Script, tab: Open):
    words = [f"word{n} " if n % 40 else f"word{n}.\n\n" for n in range(10_000)]
    script.answers["q"] = [*(delta(word) for word in words), done(citations=())]
    async with tab() as reader:
        await reader.go()
        await reader.page.evaluate(
            """() => { window.longest = 0; let last = performance.now();
                const tick = (now) => {
                    longest = Math.max(longest, now - last);
                    last = now;
                    requestAnimationFrame(tick);
                };
                requestAnimationFrame(tick); }"""
        )
        await reader.ask("q")
        await reader.page.wait_for_selector(".turn[data-phase=done]", timeout=60_000)
        await reader.holds("!document.querySelector('.answer .tail')", 60_000)
        assert (await reader.answer()).split() == "".join(words).split()
        assert await reader.page.evaluate("longest") < 5000
        assert script.calls["POST /markdown"] < 40


async def test_conversations_are_listed_opened_and_deleted(script: Script, tab: Open):
    async with tab() as reader:
        page = reader.page
        await reader.go()
        await reader.ask("first")
        await reader.ended()
        await page.click("#side .fresh")
        await page.wait_for_selector("#welcome:visible")
        await reader.ask("second")
        await reader.ended()
        await page.click("#conversations a:has-text('first')")
        await page.wait_for_selector(".asked:has-text('first')")
        await page.wait_for_selector(".answer strong")
        await page.go_back()
        await page.wait_for_selector(".asked:has-text('second')")
        await page.hover("#conversations li:has-text('second')")
        await page.click("#conversations li:has-text('second') .remove")
        await page.click("#confirm button[value=no]")
        assert await page.locator("#conversations li").count() == 2
        await page.click("#conversations li:has-text('second') .remove")
        await page.click("#confirm button[value=yes]")
        await page.wait_for_selector("#welcome:visible")
        assert list(script.titles.values()) == ["first"]


async def test_leaving_a_running_answer_does_not_stop_it(script: Script, tab: Open):
    script.answers["slow"] = [*(delta(word, 0.04) for word in WORDS), done(citations=())]
    async with tab() as reader:
        await reader.go()
        await reader.ask("slow")
        await reader.page.wait_for_selector("text=w3 ")
        await reader.page.click("#side .fresh")
        await reader.ask("other")
        await reader.ended()
        await reader.page.click("#conversations a:has-text('slow')")
        await reader.page.wait_for_selector(".asked:has-text('slow')")
        await reader.ended()
        assert (await reader.answer()).split() == "".join(WORDS).split()


async def test_feedback_and_copy(script: Script, tab: Open):
    async with tab(permissions=["clipboard-read", "clipboard-write"]) as reader:
        page = reader.page
        await reader.go()
        await reader.ask("q")
        await reader.ended()
        await page.click(".copy")
        await page.wait_for_selector("text=Copied")
        assert await page.evaluate("navigator.clipboard.readText()") == "From **nine** to six [1]."
        await page.click(".up")
        await page.wait_for_selector(".up[aria-pressed=true]")
        await page.click(".down")
        await page.keyboard.type("too short")
        await page.click(".reason button")
        await page.wait_for_selector("text=Thank you")
        run = next(iter(script.runs))
        assert script.ratings == [
            {"rating": "up", "run": run},
            {"rating": "down", "run": run},
            {"rating": "down", "reason": "too short", "run": run},
        ]


async def test_a_private_assistant_asks_for_a_key_and_then_goes_on(script: Script, tab: Open):
    script.key = "open sesame"
    async with tab() as reader:
        page = reader.page
        await reader.go()
        await page.fill("#key", "wrong")
        await page.press("#key", "Enter")
        await page.wait_for_selector("text=That key is not known here.")
        await page.fill("#key", "open sesame")
        await page.press("#key", "Enter")
        await page.wait_for_selector("#sign-in", state="hidden")
        await reader.ask("q")
        await reader.ended()
        assert await page.locator("#sign-out").is_visible()


async def test_a_writer_adds_and_removes_documents(script: Script, tab: Open):
    script.documents = [document("old.md", "Old rules")]
    files = [{"name": name, "mimeType": "text/plain", "buffer": b"x"} for name in ("new.md", "odd.bin")]
    async with tab() as reader:
        page = reader.page
        await reader.go()
        await page.click("#open-documents")
        await page.wait_for_selector("#document-list:has-text('Old rules')")
        await page.set_input_files("#files", files)
        await page.wait_for_selector("#ingestions:has-text('odd.bin · Files of this kind cannot be read.')")
        await page.wait_for_selector("#document-list:has-text('new.md')")
        await page.click("#document-list li:has-text('Old rules') .remove")
        await page.click("#confirm button[value=yes]")
        await page.wait_for_selector("#document-list:has-text('Old rules')", state="detached")
        assert [one["name"] for one in script.documents] == ["new.md"]


async def test_a_reader_only_sees_the_documents(script: Script, tab: Open):
    script.roles = ("reader",)
    left_out = [{"code": "pages_without_text", "count": 2, "detail": "2 of 3"}]
    said = {"date": "2024-05", "description": "All of them.", "notes": left_out}
    script.documents = [document("old.md", "Old rules") | said]
    async with tab() as reader:
        await reader.go()
        await reader.page.click("#open-documents")
        await reader.page.wait_for_selector("#document-list:has-text('Old rules')")
        shown = await reader.page.locator("#document-list").inner_text()
        assert "All of them." in shown
        assert "dated May 2024" in shown
        assert "2 pages hold no text (2 of 3)" in shown
        assert not await reader.page.locator("#upload").is_visible()
        assert await reader.page.locator("#document-list .remove").count() == 0


async def test_both_channels_can_be_withdrawn_late(script: Script, tab: Open):
    gone = [Step("replace", {"channel": one, "text": "", "reason": "r"}) for one in ("thinking", "answer")]
    said = [Step("thinking", {"text": "first plan"}), delta("First.\n\nMore of the first.\n\n")]
    again = [Step("thinking", {"text": "second plan"}), delta("Second [1]."), done()]
    script.answers["q"] = [sources(source(1)), *said, *gone, *again]
    async with tab() as reader:
        await reader.go()
        await reader.ask("q")
        await reader.ended()
        assert (await reader.answer()).split() == ["Second", "[1]."]
        assert await reader.page.locator(".turn:last-child .thinking > div").text_content() == "second plan"
