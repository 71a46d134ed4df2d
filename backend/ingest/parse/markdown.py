"""Markdown: rendered, then read like HTML, so that one set of rules says what is hidden."""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from mdit_py_plugins.container import container_plugin
from mdit_py_plugins.deflist import deflist_plugin
from mdit_py_plugins.footnote import footnote_plugin
from mdit_py_plugins.front_matter import front_matter_plugin

from backend.ingest.parse.document import Document, first_heading, sane_title
from backend.ingest.parse.html import from_markup
from backend.ingest.parse.text import clean, decode

_TITLE = re.compile(r"^title\s*:\s*(.+)$", re.M | re.I)
_CONTAINER = re.compile(r"^\w[\w-]*\s*(.*)$")
_HEADING_ID = re.compile(r"^(#{1,6} .*?)\s*\{#[\w-]+\}\s*$", re.M)
_TOC = re.compile(r"^\[\[?(?:toc|_toc_)\]\]?\s*$", re.M | re.I)


def read(data: bytes) -> Document:
    """The document in a Markdown file (CommonMark, tables, front matter, `:::` containers, footnotes).

    Raises:
        UnreadableDocument: It is not text, or nested too deeply.
    """
    text = _TOC.sub("", _HEADING_ID.sub(r"\1", clean(decode(data))))
    parser = _parser()
    tokens = parser.parse(text)
    front = next((token.content for token in tokens if token.type == "front_matter"), "")
    document = from_markup(parser.renderer.render(tokens, parser.options, {}), page=False)
    return Document(_front_title(front) or first_heading(document.blocks) or document.title, document.blocks)


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": True, "maxNesting": 50}).enable(["table", "strikethrough"])
    parser.use(front_matter_plugin).use(footnote_plugin).use(deflist_plugin)
    parser.use(container_plugin, "note", validate=_is_container, render=_render_container)
    return parser


def _is_container(params: str, *_: object) -> bool:
    return bool(_CONTAINER.match(params.strip()))


def _render_container(_renderer: object, tokens: list, index: int, *_: object) -> str:  # type: ignore[type-arg]
    """A callout as a division, its title, if it has one, as a paragraph."""
    token = tokens[index]
    if token.nesting != 1:
        return "</div>\n"
    match = _CONTAINER.match(token.info.strip())
    title = match.group(1).strip() if match else ""
    return f"<div><p>{_escape(title)}</p>\n" if title else "<div>\n"


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _front_title(front: str) -> str:
    match = _TITLE.search(front)
    return sane_title(match.group(1).strip().strip("\"'")) if match else ""
