"""Markup to blocks: one set of rules for HTML pages, rendered Markdown, and whatever is turned into HTML."""

from __future__ import annotations

import re
from dataclasses import dataclass

import lxml.html
from lxml import etree

from backend.ingest.base import About, Block
from backend.ingest.parse import gutenberg
from backend.ingest.parse.document import Document, first_heading, sane_title, told
from backend.ingest.parse.text import BAD, clean, squeeze
from backend.ingest.parse.web import about, hidden
from backend.ingest.parse.web.blobs import without_blobs
from backend.ingest.parse.web.blocks import BlockWriter, Written
from backend.ingest.parse.web.controls import is_control
from backend.ingest.parse.web.flatten import flattened

_DECLARATION = re.compile(r"^\s*<\?xml[^>]*>")
_SITE = re.compile(r"\s+[|·»—]\s+")
_LAYOUT_SIGNS = ("table", "h1", "h2", "h3", "main", "article")
_BOOK = re.compile(r"(?i)^the project gutenberg e-?book of\s+")
_ROLES = frozenset(str.split("navigation contentinfo search menu menubar toolbar dialog alertdialog tooltip"))
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")


@dataclass(frozen=True, slots=True)
class Page:
    """Markup as a tree without what nobody sees.

    Attributes:
        named: Its `title` element.
        hidden: In how many places text was left out.
        bad: How many bytes were no character.
    """

    root: etree._Element
    named: str
    about: About
    hidden: int
    bad: int


def from_markup(markup: str) -> Document:
    """The document in `markup`, all of it but what is hidden."""
    page = seen(markup)
    return Document("", ()) if page is None else document(page, write(page.root))


def seen(markup: str) -> Page | None:
    """`markup` as a tree without what is hidden; None where there is none."""
    root = _tree(clean(_DECLARATION.sub("", markup)))
    if root is None:
        return None
    named, of_itself = squeeze(root.findtext(".//title") or ""), about.of_page(root)
    return Page(root, named, of_itself, hidden.remove(root), markup.count(BAD))


def write(root: etree._Element, *, furniture: bool = True) -> tuple[Written, ...]:
    """The blocks of a tree, with or without what a web page has around its content."""
    writer = BlockWriter()
    skipped = None
    events = etree.iterwalk(root, events=("start", "end"))
    for event, element in events:
        tag = "div" if _is_layout(element) else element.tag
        if event == "start":
            if _is_button(element) or (not furniture and _is_furniture(element)):
                writer.gap(tag)
                events.skip_subtree()
                skipped = element
                continue
            writer.open(tag, element.attrib)
            writer.text(element.text)
            continue
        if element is not skipped:
            writer.close(tag, element.attrib)
        if element is not root:
            writer.text(element.tail)
    return writer.written()


def document(page: Page, written: tuple[Written, ...]) -> Document:
    """What `written` of `page` is, with title and notes."""
    blocks, blobs = without_blobs(one.block for one in written)
    title, kept = gutenberg.strip(blocks)
    notes = told(hidden_text=page.hidden, data_skipped=blobs, characters_replaced=page.bad)
    return Document(sane_title(title) or _title(page.named, kept), kept, notes, page.about)


def _tree(text: str) -> etree._Element | None:
    parser = lxml.html.HTMLParser(
        encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True, no_network=True
    )
    try:
        root = etree.fromstring(text.encode("utf-8"), parser)
        if any("depth" in entry.message for entry in parser.error_log):
            root = etree.fromstring(flattened(text).encode("utf-8"), parser)
    except etree.XMLSyntaxError:
        return None
    return root


def _is_button(element: etree._Element) -> bool:
    """Whether it is a button that does something; one that opens a panel, or is a heading, says something."""
    return element.tag == "button" and not is_control(element) and not _is_within(element, *_HEADINGS)


def _is_furniture(element: etree._Element) -> bool:
    """Whether the element is by its own name a menu or the foot of the page, around its content."""
    if element.tag == "nav" or element.get("role", "").lower() in _ROLES:
        return True
    return element.tag == "footer" and not _is_within(element, "blockquote", "figure")


def _is_within(element: etree._Element, *tags: str) -> bool:
    return next(element.iterancestors(*tags), None) is not None


def _is_layout(element: etree._Element) -> bool:
    """Whether a table only places things on the page."""
    if element.tag != "table":
        return False
    if element.get("role") == "presentation":
        return True
    return any(element.find(f".//{tag}") is not None for tag in _LAYOUT_SIGNS)


def _title(named: str, blocks: tuple[Block, ...]) -> str:
    """The only heading of level 1, else the page's `title` without the site's name, else a heading."""
    tops = [block.text for block in blocks if block.kind == "heading" and block.level == 1]
    if len(tops) == 1 and (title := sane_title(tops[0])):
        return title
    named = _BOOK.sub("", named)
    return sane_title(_SITE.split(named)[0]) or sane_title(named) or first_heading(blocks)
