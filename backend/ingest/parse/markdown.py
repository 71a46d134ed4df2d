"""Markdown: rendered, then read like HTML, so that one set of rules says what is hidden."""

from __future__ import annotations

import re
import tomllib
from contextlib import suppress
from dataclasses import replace
from typing import Any

import yaml
from markdown_it import MarkdownIt
from mdit_py_plugins.container import container_plugin
from mdit_py_plugins.deflist import deflist_plugin
from mdit_py_plugins.footnote import footnote_plugin

from backend.ingest.parse import plain
from backend.ingest.parse.document import Document, first_heading, sane_title, told
from backend.ingest.parse.text import BAD, clean, decode
from backend.ingest.parse.web.about import of_front_matter
from backend.ingest.parse.web.blobs import without_uris
from backend.ingest.parse.web.markup import from_markup

_FRONT = re.compile(r"\A\ufeff?\s*(---|\+\+\+)[ \t]*\n(.*?)^(?:\1|\.\.\.)[ \t]*(?:\n|\Z)", re.S | re.M)
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})[^\n]*\n.*?(?:^ {0,3}\1[`~]*[ \t]*$|\Z)", re.S | re.M)
_SHORTCODE = re.compile(r"\{\{[<%]\s*/?\s*[^{}]{0,2000}?[%>]\}\}")
_QUOTED_PARAMETER = re.compile(r"""\b(?:title|caption|summary|header)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_CONTAINER = re.compile(r"^\w[\w-]*\s*(.*)$")
_HEADING_ID = re.compile(r"^(#{1,6} .*?)\s*\{#[\w-]+\}\s*$", re.M)
_TOC = re.compile(r"^\[\[?(?:toc|_toc_)\]\]?\s*$", re.M | re.I)
_MARKERS = re.compile(r"^(?:[ \t]*(?:>|[-*+](?=\s)|\d{1,9}[.)](?=\s)))+[ \t]*|^[ \t]+", re.M)
_RUN = re.compile(r"([\[\](){}*_~`!<>])\1{99,}")
_DEEPEST = 60


def read(data: bytes) -> Document:
    """The document in a Markdown file (CommonMark, tables, front matter, `:::` containers, footnotes).

    Nested deeper than anybody writes by hand, it is read line by line, as plain text.

    Raises:
        UnreadableDocument: It is not text.
    """
    decoded = decode(data)
    fields, body = _front_matter(clean(decoded))
    body = _RUN.sub(r"\1\1\1", _TOC.sub("", _HEADING_ID.sub(r"\1", _without_shortcodes(body))))
    body, blobs = without_uris(body)
    document = _read(body)
    notes = told(data_skipped=blobs, characters_replaced=decoded.count(BAD))
    title = sane_title(str(fields.get("title") or "")) or first_heading(document.blocks) or document.title
    return replace(document, title=title, notes=(*document.notes, *notes), about=of_front_matter(fields))


def _read(body: str) -> Document:
    parser = _parser()
    tokens = parser.parse(body)
    if any(token.level >= _DEEPEST for token in tokens):
        return plain.from_text(_MARKERS.sub("", body))
    return from_markup(parser.renderer.render(tokens, parser.options, {}))


def _front_matter(text: str) -> tuple[dict[str, Any], str]:
    """The fields of a front matter, and what follows it; a rule with text below is none."""
    if not (match := _FRONT.match(text)):
        return {}, text
    fields: object = None
    with suppress(yaml.YAMLError, tomllib.TOMLDecodeError, ValueError, RecursionError):
        fields = tomllib.loads(match[2]) if match[1] == "+++" else yaml.safe_load(match[2])
    if fields is None and match[1] == "---":
        fields = dict(re.findall(r"^(\w[\w-]*)[ \t]*:[ \t]*(\S.*)$", match[2], re.M))
    if not isinstance(fields, dict):
        return {}, text
    return {str(name).lower(): value for name, value in fields.items()}, text[match.end() :]


def _without_shortcodes(text: str) -> str:
    """`text` without Hugo's shortcodes, of which a title or a caption is kept; code stays as it is."""
    if "{{" not in text:
        return text
    parts, end = [], 0
    for fence in _FENCE.finditer(text):
        parts += [_SHORTCODE.sub(_said, text[end : fence.start()]), fence.group()]
        end = fence.end()
    return "".join((*parts, _SHORTCODE.sub(_said, text[end:])))


def _said(shortcode: re.Match[str]) -> str:
    return " ".join(one or other for one, other in _QUOTED_PARAMETER.findall(shortcode.group()))


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": True, "maxNesting": _DEEPEST + 1})
    parser.enable(["table", "strikethrough"]).use(footnote_plugin).use(deflist_plugin)
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
