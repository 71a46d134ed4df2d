"""The page's pure modules, run where they will run: in the browser."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from backend.api.page_markdown import to_html
from tests.support.browser import Reader, launched, reading
from tests.support.citation_cases import CITED, NOT_CITED
from tests.support.page_server import Script, Stage, create, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def reader() -> AsyncIterator[Reader]:
    with serving(create(Stage(Script()))) as url:
        async with launched() as browser, reading(browser, url) as it:
            await it.go()
            yield it


async def parsed(reader: Reader, text: str) -> list[list[dict[str, str]]]:
    """Events of `text`, whole and cut in two at every place."""
    return await reader.page.evaluate(
        """async (text) => {
            const { SseParser } = await import("/assets/sse.js");
            const read = (...pieces) => {
                const parser = new SseParser();
                return pieces.flatMap((piece) => parser.push(piece));
            };
            const cuts = Array.from(text, (_, at) => read(text.slice(0, at), text.slice(at)));
            return [read(text), read(...text), ...cuts];
        }""",
        text,
    )


@pytest.mark.parametrize(
    ("text", "events"),
    [
        ("data: a\n\n", [("message", "a", "")]),
        ("id: 1-1\r\nevent: delta\r\ndata: a\r\n\r\n", [("delta", "a", "1-1")]),
        ("data: a\r\rdata: b\r\r", [("message", "a", ""), ("message", "b", "")]),
        (": ping\n\n:\n\nretry: 500\n\ndata:x\n\n", [("message", "x", "")]),
        ("data: a\ndata\ndata:  b\n\n", [("message", "a\n\n b", "")]),
        ("\ufeffdata: a\n\n", [("message", "a", "")]),
        ("event: x\n\ndata: a\n\n", [("message", "a", "")]),
        (
            "id: 7\n\ndata: a\n\nid: b\0c\ndata: d\n\nid\ndata: e\n\n",
            [("message", "a", "7"), ("message", "d", "7"), ("message", "e", "")],
        ),
        ("data: a\n", []),
        ("data: \u2028\u0085 é\U0001f4da\n\n", [("message", "\u2028\u0085 é\U0001f4da", "")]),
    ],
)
async def test_events_are_read_however_the_stream_is_cut(
    reader: Reader, text: str, events: list[tuple[str, str, str]]
):
    expected = [{"event": name, "data": data, "id": event_id} for name, data, event_id in events]
    assert all(found == expected for found in await parsed(reader, text))


async def test_the_delay_before_reconnecting_is_the_servers(reader: Reader):
    code = """async (text) => { const { SseParser } = await import("/assets/sse.js");
        const p = new SseParser(); p.push(text); return p.retryMs; }"""
    assert await reader.page.evaluate(code, "retry: 250\n\n") == 250
    assert await reader.page.evaluate(code, "retry: 1e3\n\nretry: -1\n\n") is None


async def test_event_ids_are_ordered_by_fence_and_then_by_number(reader: Reader):
    pairs = [
        ("1-2", "1-1"),
        ("1-10", "1-9"),
        ("2-0", "1-99"),
        ("12345678901234567891-0", "12345678901234567890-5"),
    ]
    code = """async (pairs) => { const { isAfter } = await import("/assets/follow.js");
        return pairs.map(([a, b]) => [isAfter(a, b), isAfter(b, a), isAfter(a, a)]); }"""
    assert await reader.page.evaluate(code, pairs) == [[True, False, False]] * len(pairs)


async def test_the_wait_between_attempts_doubles_is_bounded_and_never_the_same_for_all(reader: Reader):
    code = """async () => { const { backoffMs } = await import("/assets/follow.js");
        return [0, 1, 2, 9].map((n) => [backoffMs(n, 1000, () => 0), backoffMs(n, 1000, () => 1)]); }"""
    assert await reader.page.evaluate(code) == [[500, 1000], [1000, 2000], [2000, 4000], [7500, 15000]]


async def test_offsets_count_characters_as_the_server_does(reader: Reader):
    text = "a\U0001f4dab\U0001f4dac"
    code = """async ([text, ns]) => { const { indexOfCharacter } = await import("/assets/panel.js");
        return ns.map((n) => text.slice(indexOfCharacter(text, n))); }"""
    places = list(range(7))
    assert await reader.page.evaluate(code, [text, places]) == [text[n:] for n in places]


async def linked(reader: Reader, text: str) -> list[int]:
    """Numbers of the sources, of three, that the page links in an answer."""
    code = """async ([html]) => { const { linkCitations } = await import("/assets/cite.js");
        const root = document.createElement("div");
        root.append(...new DOMParser().parseFromString(html, "text/html").body.childNodes);
        const sources = new Map([1, 2, 3].map((n) => [n, { n, title: `t${n}` }]));
        linkCitations(root, sources, { anchor: (n) => `s${n}`, open: () => {} });
        return [...root.querySelectorAll(".cite")].map((a) => Number(a.textContent.slice(1, -1))); }"""
    return await reader.page.evaluate(code, [to_html(text)])


@pytest.mark.parametrize("text", [text for text in NOT_CITED if "\\[" not in text])
async def test_the_page_links_nothing_that_is_no_citation(reader: Reader, text: str):
    assert await linked(reader, text) == []


@pytest.mark.parametrize(("text", "shown", "cited"), CITED)
async def test_the_page_links_what_is_a_citation(reader: Reader, text: str, shown: str, cited: set[int]):
    assert set(await linked(reader, shown)) == cited


async def finished_parts(reader: Reader, text: str, size: int) -> list[str]:
    """Where `blocks.js` cuts `text` when it comes in pieces of `size` characters."""
    ends: list[int] = await reader.page.evaluate(
        """async ([text, size]) => { const { Blocks } = await import("/assets/blocks.js");
            const blocks = new Blocks(), ends = new Set();
            for (let at = 0; at < text.length; at += size) ends.add(blocks.push(text.slice(at, at + size)));
            return [...ends].filter(Boolean); }""",
        [text, size],
    )
    return [text[a:b] for a, b in zip([0, *ends], [*ends, len(text)], strict=True)]


DOCUMENTS = [
    "One.\n\nTwo.\n\nThree.",
    "# Head\nText\n\n- a\n\n- b\n\n  c\n\nAfter.",
    "1. a\n\n2. b\n\n```\nx\n\ny\n```\n\nEnd",
    "~~~~\n```\n\n~~~\n\n~~~~\n\nOut\n\n    code\n\nLast",
    "| a |\n|---|\n| b |\n\n**Bold** start\n\n*a* b\n\n---\n\n> q\n\n> r\n\nEnd",
    "- a\n\n      code\n\n10) x\n\n10) y\n\n**b** it is bold enough\n\n\n\n\nz",
    "```\nnever closed\n\nstill",
]


@pytest.mark.parametrize("text", DOCUMENTS)
async def test_blocks_shown_early_are_the_blocks_of_the_whole(reader: Reader, text: str):
    for size in (1, 2, 7, len(text)):
        parts = await finished_parts(reader, text, size)
        assert "".join(parts) == text
        assert "".join(map(to_html, parts)) == to_html(text)


async def test_a_block_is_finished_as_soon_as_the_next_one_begins(reader: Reader):
    assert await finished_parts(reader, "One.\n\nT", 1) == ["One.\n\n", "T"]
    assert await finished_parts(reader, "One.\n\n- a\n\n- b\n\nT", 1) == ["One.\n\n", "- a\n\n- b\n\n", "T"]


async def shown(reader: Reader, language: str, *calls: list[Any]) -> list[str]:
    code = """async ([language, calls]) => {
        const i18n = await import("/assets/i18n.js");
        i18n.setLanguage(language);
        return calls.map(([name, ...given]) => i18n[name](...given)); }"""
    return await reader.page.evaluate(code, [language, calls])


async def test_waits_are_told_in_kind_words(reader: Reader):
    waits = {
        (1, 3): ("a moment", "un instant"),
        (1, 12): ("less than 15 seconds", "moins de 15 secondes"),
        (2, 58): ("less than a minute", "moins d’une minute"),
        (8, 8.4): ("about 5 to 10 seconds", "environ 5 à 10 secondes"),
        (22, 37): ("about 20 to 40 seconds", "environ 20 à 40 secondes"),
        (41, 50): ("about 40 to 50 seconds", "environ 40 à 50 secondes"),
        (20, 130): ("20 seconds to two minutes", "de 20 secondes à deux minutes"),
        (58, 62): ("about a minute", "environ une minute"),
        (70, 110): ("about one to two minutes", "environ une à deux minutes"),
        (300, 290): ("about five minutes", "environ cinq minutes"),
        (500, 1300): ("about eight to 22 minutes", "environ huit à 22 minutes"),
    }
    for at, language in enumerate(("en", "fr")):
        told = await shown(reader, language, *(["span", *wait] for wait in waits))
        assert told == [words[at] for words in waits.values()]


async def test_a_wait_is_never_promised_to_end_before_its_later_end(reader: Reader):
    waits = [(low, low * more) for low in (0.5, 3, 7, 19, 33, 52, 57, 100, 290) for more in (1, 1.3, 2, 5)]
    told = await shown(reader, "en", *(["span", low, high] for low, high in waits))
    for (low, high), words in zip(waits, told, strict=True):
        latest_s = latest(words)
        assert high <= latest_s + 12.5, (low, high, words)


def latest(words: str) -> float:
    """The longest wait, in seconds, that the words allow."""
    if words == "a moment":
        return 4
    number, unit = words.split()[-2:]
    digits = ["a", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    count = int(number) if number.isdigit() else max(1, digits.index(number))
    return count * (60 if unit.startswith("minute") else 1)
