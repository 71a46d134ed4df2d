"""PDF: paragraphs rebuilt from lines placed on pages.

pypdfium2, because others fuse the words of LaTeX documents (mean word length 11 to 15 letters against 5).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

import pypdfium2 as pdfium

from backend.core.errors import UnreadableDocument
from backend.core.types import NoteCode
from backend.ingest.base import CELL, About, Block, BlockKind, Note
from backend.ingest.parse.document import Document, first_heading, sane_title
from backend.ingest.parse.pages.forms import filled_in
from backend.ingest.parse.pages.hyphens import Mender, plain
from backend.ingest.parse.pages.ink import Eye, Unseen
from backend.ingest.parse.pages.layout import (
    Line,
    Paragraph,
    body_height,
    heading_levels,
    lines_of,
    paragraphs,
    text_of,
)
from backend.ingest.parse.pages.margins import Inner, without_furniture
from backend.ingest.parse.pages.tables import Table, found, with_tables
from backend.ingest.parse.text import clean, tidy

_DATE = re.compile(r"^(?:D:)?(\d{4})(\d{2})?(\d{2})?")
_FILE_NAME = re.compile(r"(?i)^(\S+\.[a-z]{2,5}|\S*_\S*|microsoft (word|powerpoint|excel)\b.*)$")
_TITLE_WORD = re.compile(r"[^\W\d_]{3,}")
_PLACEHOLDER = re.compile(r"(?i)^\W*please wait\b.{0,40}\bif this message is not eventually replaced\b", re.S)
_CUT_IN_CELL = re.compile(r"(?<=[^\W\d_]-) (?=[^\W\d_])")
_LISTED_PAGES = 12


@dataclass(frozen=True, slots=True)
class _Page:
    number: int
    lines: list[Line]
    unseen: Unseen
    fields: list[str]

    @property
    def is_placeholder(self) -> bool:
        """Whether it only asks for the viewer that shows the form (XFA) behind it."""
        return bool(_PLACEHOLDER.match(" ".join(line.text for line in self.lines)))


def read(data: bytes, *, max_pages: int, max_chars: int) -> Document:
    """The document in a PDF file.

    Raises:
        UnreadableDocument: Encrypted, damaged, with too many pages or too much text.
    """
    pdf = _opened(data)
    try:
        pdf.init_forms()
        if len(pdf) > max_pages:
            raise UnreadableDocument(f"it has more than {max_pages} pages")
        pages = _pages(pdf, max_chars)
        count = len(pdf)
        title = sane_title(clean(pdf.get_metadata_value("Title")))
        about = _about(pdf)
    finally:
        pdf.close()
    inner = without_furniture(_with_tables(data, pages))
    blocks = _blocks(inner, [_form(page) for page in pages if page.fields])
    if not _is_of(title, blocks):
        title = ""
    return Document(title or first_heading(blocks), blocks, (*_notes(pages, count), *_left_out(inner)), about)


def _opened(data: bytes) -> pdfium.PdfDocument:
    try:
        return pdfium.PdfDocument(data)
    except pdfium.PdfiumError as exc:
        reason = "it is encrypted" if "password" in str(exc).lower() else "it is damaged"
        raise UnreadableDocument(reason) from exc


def _about(pdf: pdfium.PdfDocument) -> About:
    dates = (day_of(pdf.get_metadata_value(key)) for key in ("ModDate", "CreationDate"))
    return About(next(filter(None, dates), ""), sane_title(clean(pdf.get_metadata_value("Subject"))))


def day_of(stamp: str) -> str:
    """`stamp`, as PDF writes dates, as ISO 8601: a day, a month or a year, "" if it is none."""
    found = _DATE.match(stamp.strip())
    if not found or not "1900" <= found[1] <= "2200":
        return ""
    day = "-".join(filter(None, found.groups()))
    try:
        date.fromisoformat(f"{day}-01-01"[:10])
    except ValueError:
        return found[1]
    return day


def _is_of(title: str, blocks: Iterable[Block]) -> bool:
    """Whether at least half of the words of `title` occur in the text: templates leave others behind."""
    if _FILE_NAME.match(title):
        return False
    words = _TITLE_WORD.findall(_plain(title))
    text = _plain("\n".join(block.text for block in blocks))
    return 2 * sum(word in text for word in words) >= len(words)


def _plain(text: str) -> str:
    """Without case and accents."""
    return "".join(
        char for char in unicodedata.normalize("NFD", text.casefold()) if not unicodedata.combining(char)
    )


def _pages(pdf: pdfium.PdfDocument, max_chars: int) -> list[_Page]:
    """The pages. One that cannot be loaded is left out; if none can, the file is damaged."""
    pages: list[_Page] = []
    eye = Eye()
    failed = chars = 0
    for number in range(1, len(pdf) + 1):
        try:
            pages.append(_page(pdf, number, eye))
        except pdfium.PdfiumError:
            failed += 1
            continue
        chars += sum(len(line.text) for line in pages[-1].lines)
        if chars > max_chars:
            raise UnreadableDocument(f"it has more than {max_chars} characters of text")
    if not pages or (failed and not chars):
        raise UnreadableDocument("it is damaged")
    return pages


def _page(pdf: pdfium.PdfDocument, number: int, eye: Eye) -> _Page:
    page = pdf[number - 1]
    try:
        textpage = page.get_textpage()
        try:
            text = text_of(textpage)
            unseen = eye.unseen(page, textpage, text)
            lines = lines_of(textpage, unseen.blanked(text), number, page.get_height())
            return _Page(number, lines, unseen, filled_in(pdf, page))
        finally:
            textpage.close()
    finally:
        page.close()


def _notes(pages: Sequence[_Page], count: int) -> Iterable[Note]:
    hiding = [page for page in pages if page.unseen.spans]
    if hiding:
        yield Note("hidden_text", sum(len(page.unseen.spans) for page in hiding), _numbers(hiding))
    yield from _counted("scanned_text", [page for page in pages if page.unseen.scanned], count)
    yield from _counted("placeholder_page", [page for page in pages if page.is_placeholder], count)
    yield from _counted(
        "pages_without_text", [page for page in pages if not page.lines and not page.fields], count
    )


def _counted(code: NoteCode, pages: Sequence[_Page], count: int) -> Iterable[Note]:
    if pages:
        yield Note(code, len(pages), f"{len(pages)} of {count}")


def _numbers(pages: Sequence[_Page]) -> str:
    more = ", …" if len(pages) > _LISTED_PAGES else ""
    return ", ".join(str(page.number) for page in pages[:_LISTED_PAGES]) + more


def _left_out(inner: Inner) -> Iterable[Note]:
    if inner.removed:
        yield Note("running_heads_skipped", inner.removed)
    if inner.contents:
        yield Note("contents_skipped", inner.contents)


def _with_tables(data: bytes, pages: Sequence[_Page]) -> list[list[Line]]:
    """Lines of the pages that are no placeholders, with rows for the lines of tables."""
    shown = [page for page in pages if not page.is_placeholder]
    by_page: dict[int, list[Table]] = {}
    open_ones = [page.number for page in shown if len(page.lines) > 1 and not page.unseen.spans]
    for number, table in found(data, open_ones):
        by_page.setdefault(number, []).append(table)
    body = body_height(line for page in shown for line in page.lines)
    return [with_tables(page.lines, by_page.get(page.number, ()), body) for page in shown]


def _form(page: _Page) -> Block:
    return Block("list", "\n".join(page.fields), page=page.number)


def _blocks(inner: Inner, forms: Iterable[Block]) -> tuple[Block, ...]:
    """The blocks of the document; what stood at the head or foot of its pages comes first."""
    lines = [line for page in inner.pages for line in page]
    body = body_height(lines)
    mender = Mender(line.text for line in lines)
    found = _rejoined([p for page in inner.pages for p in paragraphs(page, body)], mender)
    levels = heading_levels(found, body)
    furniture = [Block("paragraph", plain(head.text), page=head.page) for head in inner.heads]
    blocks = [block for p in found if (block := _block(p, levels, mender))]
    return (*furniture, *sorted([*blocks, *forms], key=lambda block: block.page or 0))


def _rejoined(found: list[Paragraph], mender: Mender) -> list[Paragraph]:
    """Paragraphs cut by the end of a page or a column put together again."""
    joined: list[Paragraph] = []
    for paragraph in found:
        last = joined[-1] if joined else None
        if last and paragraph.follows(last) and paragraph.continues(last):
            joined[-1] = last.extended(paragraph)
        else:
            joined.append(paragraph)
    return joined


def _block(paragraph: Paragraph, levels: dict[tuple[float, bool], int], mender: Mender) -> Block | None:
    apart = paragraph.ragged and not paragraph.is_heading
    text = (
        _cells(paragraph, mender)
        if paragraph.is_table
        else plain(tidy("\n".join(paragraph.texts)))
        if apart
        else mender.join(paragraph.texts)
    )
    if not text:
        return None
    level = levels.get(paragraph.style, 0) if paragraph.is_heading else 0
    kind: BlockKind = "heading" if level else _kind(paragraph)
    return Block(kind, text, level, paragraph.page)


def _cells(paragraph: Paragraph, mender: Mender) -> str:
    """One row a line; words that the end of a line cut inside a cell put together."""
    rows = ([mender.join(_CUT_IN_CELL.split(cell)) for cell in row.split(CELL)] for row in paragraph.texts)
    return "\n".join(CELL.join(row) for row in rows)


def _kind(paragraph: Paragraph) -> BlockKind:
    if paragraph.is_table:
        return "table"
    return "list" if paragraph.is_list else "paragraph"
