"""Model output as HTML that is safe to put into the page: Markdown first, the sanitiser last.

An answer is not to be trusted: a poisoned passage may have written it. So raw HTML is off, images are never
made (a picture's address carries data out without a click), `[1]: url` defines nothing (it would turn a
citation into a foreign link), and only a short list of tags leaves the sanitiser.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from urllib.parse import urlsplit

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

TAGS = frozenset(
    [
        "p",
        "br",
        "hr",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "blockquote",
        "ul",
        "ol",
        "li",
        "pre",
        "code",
        "em",
        "strong",
        "s",
        "a",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
    ]
)
SCHEMES = frozenset({"http", "https", "mailto"})
MAX_NESTING = 20

_CLEANER = nh3.Cleaner(
    tags=set(TAGS),
    clean_content_tags={"script", "style"},
    attributes={"*": set(), "a": {"href"}, "ol": {"start"}},
    generic_attribute_prefixes=set(),
    tag_attribute_values={tag: {"align": {"left", "right", "center"}} for tag in ("th", "td")},
    set_tag_attribute_values={"a": {"target": "_blank"}},
    link_rel="noopener noreferrer nofollow",
    url_schemes=set(SCHEMES),
    url_relative="deny",
    strip_comments=True,
)


def to_html(text: str) -> str:
    """`text` (CommonMark, tables, strikethrough) as sanitised HTML; never raises, whatever the text."""
    whole = text.encode("utf-8", "replace").decode()  # half a surrogate pair is no text
    return _CLEANER.clean(_PARSER.render(whole))


def _may_link(url: str) -> bool:
    """Whether a link to `url` is made; if not, its Markdown stays as text."""
    try:
        return urlsplit(url.strip()).scheme.lower() in SCHEMES
    except ValueError:
        return False


def _image_as_text(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    children = tokens[index].children
    return escape(self.renderInlineAsText(children, options, env)) if children else ""


def _aligned_cell(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    """A table cell whose alignment is an attribute: the page's policy refuses `style`."""
    token = tokens[index]
    align = str(token.attrs.pop("style", "")).removeprefix("text-align:")
    if align:
        token.attrs["align"] = align
    return self.renderToken(tokens, index, options, env)


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": MAX_NESTING})
    parser.enable(["table", "strikethrough"]).disable(["html_block", "html_inline", "reference"])
    parser.validateLink = _may_link  # type: ignore[method-assign]
    parser.add_render_rule("image", _image_as_text)
    parser.add_render_rule("th_open", _aligned_cell)
    parser.add_render_rule("td_open", _aligned_cell)
    return parser


_PARSER = _parser()
