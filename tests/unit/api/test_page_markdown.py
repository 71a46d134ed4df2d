"""Markdown for the page: what it keeps, and everything it must not let through."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.api.page_markdown import to_html
from tests.support.html_audit import Audit
from tests.support.xss_payloads import EVIL, PAYLOADS


def test_there_are_more_than_a_hundred_payloads():
    assert len(set(PAYLOADS)) > 120


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_payload_makes_anything_but_harmless_tags_and_clickable_web_links(payload: str):
    assert Audit(to_html(payload)).findings == []


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_payload_gets_through_inside_other_markdown(payload: str):
    for frame in (
        "- {}",
        "> {}",
        "**{}**",
        "[{}](https://a.example)",
        "| a |\n|---|\n| {} |",
        "1. a\n\n   {}",
    ):
        assert Audit(to_html(frame.format(payload))).findings == []


@given(
    st.lists(
        st.sampled_from([*PAYLOADS, "\n", "\n\n", "`", "```\n", "|", "> ", "[", "](", ")", "!", "<", ">"]),
        max_size=6,
    )
)
def test_no_mixture_of_payloads_gets_through(parts: list[str]):
    assert Audit(to_html("".join(parts))).findings == []


@given(st.text(max_size=300))
def test_any_text_is_rendered_without_harm(text: str):
    assert Audit(to_html(text)).findings == []


def test_an_image_becomes_its_description():
    assert to_html(f"See ![the *plan* & map]({EVIL}/x.png).") == "<p>See the plan &amp; map.</p>\n"


def test_a_link_definition_does_not_turn_a_citation_into_a_link():
    html = to_html(f"Open at nine [1].\n\n[1]: {EVIL}")
    assert "Open at nine [1]." in html
    assert Audit(html).links == []


def test_raw_html_is_shown_as_the_text_it_is():
    assert to_html("Use <b>this</b>") == "<p>Use &lt;b&gt;this&lt;/b&gt;</p>\n"


def test_web_and_mail_links_open_elsewhere_and_say_nothing_of_us():
    audit = Audit(to_html("[a](https://a.example/b?c=d#e) <mailto:x@a.example> [c](http://c.example)"))
    assert audit.links == ["https://a.example/b?c=d#e", "mailto:x@a.example", "http://c.example"]
    assert audit.findings == []


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("# Hours", "<h1>Hours</h1>\n"),
        ("**nine** to *six*", "<p><strong>nine</strong> to <em>six</em></p>\n"),
        ("3. c\n4. d", '<ol start="3">\n<li>c</li>\n<li>d</li>\n</ol>\n'),
        ("`<b>`", "<p><code>&lt;b&gt;</code></p>\n"),
        ("~~no~~", "<p><s>no</s></p>\n"),
        ("> q", "<blockquote>\n<p>q</p>\n</blockquote>\n"),
        ("a  \nb", "<p>a<br>\nb</p>\n"),
    ],
)
def test_ordinary_markdown_is_kept(text: str, html: str):
    assert to_html(text) == html


def test_a_table_keeps_its_alignment_without_inline_style():
    html = to_html("| a | b |\n|:--|--:|\n| 1 | 2 |")
    assert '<th align="left">a</th>' in html
    assert '<td align="right">2</td>' in html
    assert "style" not in html


def test_blocks_rendered_one_by_one_give_the_html_of_the_whole():
    blocks = ["Intro **a** [1].\n\n", "- x\n- y\n\n", "```\ncode\n\nmore\n```\n\n", "End."]
    assert "".join(map(to_html, blocks)) == to_html("".join(blocks))
