"""PDF: paragraphs rebuilt from lines placed on pages.

pypdfium2, because others fuse the words of LaTeX documents (mean word length 11 to 15 letters against 5).
"""

from __future__ import annotations

from collections.abc import Sequence

import pypdfium2 as pdfium

from backend.core.errors import UnreadableDocument
from backend.ingest.base import Block, BlockKind
from backend.ingest.parse.document import Document, first_heading, sane_title
from backend.ingest.parse.hyphens import Mender
from backend.ingest.parse.layout import Line, Paragraph, body_height, heading_levels, lines_of, paragraphs
from backend.ingest.parse.margins import without_furniture
from backend.ingest.parse.text import clean, tidy


def read(data: bytes, *, max_pages: int, max_chars: int) -> Document:
    """The document in a PDF file.

    Raises:
        UnreadableDocument: Encrypted, damaged, with too many pages or too much text.
    """
    pdf = _opened(data)
    try:
        if len(pdf) > max_pages:
            raise UnreadableDocument(f"it has more than {max_pages} pages")
        pages = _pages(pdf, max_chars)
        title = sane_title(clean(pdf.get_metadata_value("Title")))
    finally:
        pdf.close()
    blocks = _blocks(without_furniture(pages))
    return Document(title or first_heading(blocks), blocks)


def _opened(data: bytes) -> pdfium.PdfDocument:
    try:
        return pdfium.PdfDocument(data)
    except pdfium.PdfiumError as exc:
        reason = "it is encrypted" if "password" in str(exc).lower() else "it is damaged"
        raise UnreadableDocument(reason) from exc


def _pages(pdf: pdfium.PdfDocument, max_chars: int) -> list[list[Line]]:
    """Lines of each page. A page that cannot be loaded is left out; if none can, the file is damaged."""
    pages: list[list[Line]] = []
    failed = chars = 0
    for number in range(1, len(pdf) + 1):
        try:
            pages.append(_page(pdf, number))
        except pdfium.PdfiumError:
            failed += 1
            continue
        chars += sum(len(line.text) for line in pages[-1])
        if chars > max_chars:
            raise UnreadableDocument(f"it has more than {max_chars} characters of text")
    if not pages or (failed and not chars):
        raise UnreadableDocument("it is damaged")
    return pages


def _page(pdf: pdfium.PdfDocument, number: int) -> list[Line]:
    page = pdf[number - 1]
    try:
        textpage = page.get_textpage()
        try:
            return lines_of(textpage, number, page.get_height())
        finally:
            textpage.close()
    finally:
        page.close()


def _blocks(pages: Sequence[Sequence[Line]]) -> tuple[Block, ...]:
    lines = [line for page in pages for line in page]
    body = body_height(lines)
    mender = Mender(line.text for line in lines)
    found = _rejoined([p for page in pages for p in paragraphs(page, body)], mender)
    levels = heading_levels(found, body)
    return tuple(block for p in found if (block := _block(p, levels, mender)))


def _rejoined(found: list[Paragraph], mender: Mender) -> list[Paragraph]:
    """Paragraphs cut by a page end put together again."""
    joined: list[Paragraph] = []
    for paragraph in found:
        last = joined[-1] if joined else None
        if last and paragraph.page == last.last_page + 1 and paragraph.continues(last):
            joined[-1] = last.extended(paragraph)
        else:
            joined.append(paragraph)
    return joined


def _block(paragraph: Paragraph, levels: dict[tuple[float, bool], int], mender: Mender) -> Block | None:
    apart = paragraph.is_table or (paragraph.ragged and not paragraph.is_heading)
    text = tidy("\n".join(paragraph.texts)) if apart else mender.join(paragraph.texts)
    if not text:
        return None
    level = levels.get(paragraph.style, 0) if paragraph.is_heading else 0
    kind: BlockKind = "heading" if level else _kind(paragraph)
    return Block(kind, text, level, paragraph.page)


def _kind(paragraph: Paragraph) -> BlockKind:
    if paragraph.is_table:
        return "table"
    return "list" if paragraph.is_list else "paragraph"
