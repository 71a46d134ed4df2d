"""HTML: the text a reader came for, as blocks."""

from __future__ import annotations

import re

from lxml import etree

from backend.core.errors import UnreadableDocument
from backend.ingest.base import Block
from backend.ingest.parse import gutenberg
from backend.ingest.parse.blocks import BlockWriter
from backend.ingest.parse.document import Document, first_heading, sane_title
from backend.ingest.parse.hidden import DROPPED_TAGS, is_chrome, is_unseen, unseen_selectors
from backend.ingest.parse.text import clean, decode, squeeze

MAIN_SHARE = 0.25
_CHARSET = re.compile(rb"<(?:meta|\?xml)[^>]*?(?:charset|encoding)\s*=\s*[\"']?\s*([\w-]+)", re.I)
_DECLARATION = re.compile(r"^\s*<\?xml[^>]*>")
_SITE = re.compile(r"\s+[|·»—]\s+")
_LAYOUT_SIGNS = ("table", "h1", "h2", "h3", "main", "article")
_BOOK = re.compile(r"(?i)^the project gutenberg e-?book of\s+")


def read(data: bytes) -> Document:
    """The document in an HTML file, without menus, banners, footers and hidden text.

    Raises:
        UnreadableDocument: It is not text, or elements are nested more than 2,000 deep.
    """
    return from_markup(_decoded(data), page=True)


def from_markup(markup: str, *, page: bool) -> Document:
    """The document in `markup`; `page` says that it has the furniture of a web page, to be left out."""
    root = _tree(markup)
    if root is None:
        return Document("", ())
    content = _content(root) if page else root
    writer = BlockWriter()
    _walk(content, writer, root, page=page)
    title, blocks = gutenberg.strip(writer.blocks())
    return Document(sane_title(title) or _title(root, blocks), blocks)


def _decoded(data: bytes) -> str:
    if (match := _CHARSET.search(data[:2048])) and not data.startswith(
        (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
    ):
        try:
            return data.decode(match.group(1).decode("ascii").replace("iso-8859-1", "cp1252"))
        except (LookupError, UnicodeDecodeError):
            pass
    return decode(data)


def _tree(markup: str) -> etree._Element | None:
    text = clean(_DECLARATION.sub("", markup))
    parser = etree.HTMLParser(
        encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True, no_network=True
    )
    try:
        root = etree.fromstring(text.encode("utf-8"), parser)
    except etree.XMLSyntaxError:
        return None
    if any("depth" in entry.message for entry in parser.error_log):
        raise UnreadableDocument("its elements are nested too deeply")
    return root


def _content(root: etree._Element) -> etree._Element:
    """The element that holds the content: `main`, a single `article`, else the whole page."""
    total = _length(root)
    mains = root.xpath("//main|//*[@role='main']") or root.xpath("//article")
    if len(mains) == 1 and _length(mains[0]) >= MAIN_SHARE * total:
        return mains[0]
    return root


def _length(element: etree._Element) -> int:
    return sum(len(text) for text in element.itertext() if not text.isspace())


def _walk(content: etree._Element, writer: BlockWriter, root: etree._Element, *, page: bool) -> None:
    selectors = unseen_selectors("\n".join("".join(style.itertext()) for style in root.iter("style")))
    in_content = content is not root
    skipped = None
    events = etree.iterwalk(content, events=("start", "end"))
    for event, element in events:
        tag = "div" if _is_layout(element) else element.tag
        if event == "start":
            if element is not content and (
                tag in DROPPED_TAGS
                or is_unseen(element.attrib, selectors)
                or (page and is_chrome(tag, element.attrib, in_content=in_content))
            ):
                writer.gap(tag)
                events.skip_subtree()
                skipped = element
                continue
            writer.open(tag, element.attrib)
            writer.text(element.text)
            continue
        if element is not skipped:
            writer.close(tag, element.attrib)
        if element is not content:
            writer.text(element.tail)


def _is_layout(element: etree._Element) -> bool:
    """Whether a table only places things on the page."""
    if element.tag != "table":
        return False
    if element.get("role") == "presentation":
        return True
    return any(element.find(f".//{tag}") is not None for tag in _LAYOUT_SIGNS)


def _title(root: etree._Element, blocks: tuple[Block, ...]) -> str:
    """The only heading of level 1, else the page's `title` without the site's name, else a heading."""
    tops = [block.text for block in blocks if block.kind == "heading" and block.level == 1]
    if len(tops) == 1 and (title := sane_title(tops[0])):
        return title
    named = _BOOK.sub("", squeeze(root.findtext(".//title") or ""))
    return sane_title(_SITE.split(named)[0]) or sane_title(named) or first_heading(blocks)
