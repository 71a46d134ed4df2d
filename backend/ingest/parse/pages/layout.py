"""Lines of a PDF page with their place and size, and the paragraphs they form."""

from __future__ import annotations

import ctypes
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

import pypdfium2 as pdfium
import pypdfium2.raw as raw

from backend.ingest.parse.pages.cells import Cell, cells_of
from backend.ingest.parse.pages.columns import Column, columns_of
from backend.ingest.parse.pages.hyphens import SOFT
from backend.ingest.parse.text import clean, squeeze

_ENDS = re.compile("\r\n|\r|\n|(?<=[\u0002\ufffe])(?![\r\n])")
"""pdfium puts a noncharacter for the hyphen at a line end, and leaves the line end out."""
_NONCHARACTER = re.compile("[\u0002\ufffe\u00ad]$")
_CUTS = frozenset("\u00ad\u2010\u2011")
_BULLET = re.compile(r"^([-•‣▪◦●–—*]|\d{1,3}[.)]|[a-z]\))\s+\S")
_NUMBERED = re.compile(r"^(\d{1,2}(?:\.\d{1,2}){0,4})\.?\s+\S")
_FULL_STOP = re.compile(r"[.!?…:;][»\"')\]]*$")
_BOLD = re.compile(r"(?i)bold|black|heavy|semibold|demi")
_GAP = 1.35
_LARGER = 1.1
_MARGIN = 0.11
_HEADING_CHARS = 160


@dataclass(frozen=True, slots=True)
class Line:
    """One printed line; lengths in points, `top` from the foot of the page.

    Attributes:
        cells: Its parts, if wide gaps part it.
        table: Number, on its page, of the table of which it is a row; 0 for other lines.
    """

    text: str
    page: int
    left: float
    top: float
    right: float
    height: float
    bold: bool
    in_margin: bool
    cells: tuple[Cell, ...] = ()
    table: int = 0

    @property
    def parts(self) -> tuple[Cell, ...]:
        """Its cells, or all of it as one."""
        return self.cells or (Cell(self.text, self.left, self.right),)


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Lines that belong together.

    Attributes:
        ragged: Every line ends well before the margin: rows of a table, verses, an address.
        full: The last line reaches the end of a justified column, so the sentence may go on elsewhere.
    """

    lines: tuple[Line, ...]
    is_heading: bool
    ragged: bool
    full: bool = False

    @property
    def texts(self) -> tuple[str, ...]:
        """Texts of the lines."""
        return tuple(line.text for line in self.lines)

    @property
    def page(self) -> int:
        """Page on which it begins."""
        return self.lines[0].page

    @property
    def last_page(self) -> int:
        """Page on which it ends."""
        return self.lines[-1].page

    @property
    def style(self) -> tuple[float, bool]:
        """What sets a level of headings apart: size, weight."""
        return round(self.lines[0].height, 0), self.lines[0].bold

    @property
    def is_table(self) -> bool:
        """Whether its lines are rows of cells."""
        return self.lines[0].table > 0

    @property
    def is_list(self) -> bool:
        """Whether it begins with a bullet or number."""
        return bool(_BULLET.match(self.lines[0].text))

    def continues(self, last: Paragraph) -> bool:
        """Whether it goes on with the sentence that `last` leaves open."""
        if (
            self.is_heading
            or last.is_heading
            or self.is_list
            or self.is_table
            or last.is_table
            or _FULL_STOP.search(last.texts[-1])
        ):
            return False
        return last.full or self.texts[0][:1].islower() or last.texts[-1].endswith(("-", SOFT))

    def follows(self, last: Paragraph) -> bool:
        """Whether it begins on the page after `last`, or at the head of the column to the right of it."""
        if self.page != last.last_page:
            return self.page == last.last_page + 1
        above, below = self.lines[0], last.lines[-1]
        return above.top > below.top + below.height and above.left > below.left + below.height

    def extended(self, more: Paragraph) -> Paragraph:
        """Both as one."""
        return replace(
            self, lines=self.lines + more.lines, full=more.full, ragged=self.ragged and more.ragged
        )


def lines_of(textpage: pdfium.PdfTextPage, text: str, number: int, page_height: float) -> list[Line]:
    """Lines of page `number` in the order in which they are drawn; cells of one row on one line.

    `text` is as `text_of` gives it, or with blanks in place of what is to be left out.
    """
    lines: list[Line] = []
    start = 0
    for end in [*_ENDS.finditer(text), None]:
        shown = text[start : end.start() if end else len(text)]
        first = start + len(shown) - len(shown.lstrip())
        shown = shown.strip()
        if words := _words(shown):
            line = _line(textpage, words, number, first, first + len(shown) - 1, page_height)
            line = replace(line, cells=cells_of(textpage, shown, first))
            lines[-1:] = _one_row(lines[-1], line) if lines else [line]
        start = end.end() if end else start
    return lines


def _words(shown: str) -> str:
    """The characters of a line as text; a hyphen that only the line end brought about stays apart."""
    words = squeeze(clean(_NONCHARACTER.sub("-", shown)))
    return words[:-1] + SOFT if words.endswith("-") and shown[-1] in _CUTS else words


def _one_row(last: Line, line: Line) -> list[Line]:
    """Both lines, as one if they stand side by side."""
    level = (
        abs(last.top - line.top) < 0.3 * last.height and abs(last.height - line.height) < 0.3 * last.height
    )
    if not level or line.left < last.right or _BULLET.match(f"{last.text} x"):
        return [last, line]
    apart = line.left - last.right > 0.5 * last.height
    cells = last.parts + line.parts if apart else ()
    return [replace(last, text=f"{last.text} {line.text}", right=line.right, cells=cells)]


def text_of(textpage: pdfium.PdfTextPage) -> str:
    """Text of the page, one character for each of pdfium's, so that positions agree."""
    text: str = textpage.get_text_range()
    count = textpage.count_chars()
    if len(text) == count:
        return text
    codes = (raw.FPDFText_GetUnicode(textpage.raw, index) for index in range(count))
    return "".join(chr(code) if code < 0x110000 else "\ufffd" for code in codes)


def _line(
    textpage: pdfium.PdfTextPage, text: str, page: int, first: int, last: int, page_height: float
) -> Line:
    head, tail = raw.FS_RECTF(), raw.FS_RECTF()
    raw.FPDFText_GetLooseCharBox(textpage.raw, first, head)
    raw.FPDFText_GetLooseCharBox(textpage.raw, last, tail)
    font, flags = ctypes.create_string_buffer(128), ctypes.c_int()
    raw.FPDFText_GetFontInfo(textpage.raw, (first + last) // 2, font, 128, flags)
    bold = bool(_BOLD.search(font.value.decode("utf-8", "replace")))
    in_margin = not _MARGIN * page_height < head.top < (1 - _MARGIN) * page_height
    return Line(text, page, head.left, head.top, tail.right, abs(head.top - head.bottom), bold, in_margin)


def body_height(lines: Iterable[Line]) -> float:
    """Height of the lines that hold most characters."""
    heights: Counter[float] = Counter()
    for line in lines:
        heights[round(line.height, 0)] += len(line.text)
    return heights.most_common(1)[0][0] if heights else 0.0


def paragraphs(page: Sequence[Line], body: float) -> list[Paragraph]:
    """Paragraphs of one page."""
    gaps = [a.top - b.top for a, b in pairwise(page) if 0 < a.top - b.top < 3 * a.height]
    pitch = median(gaps) if gaps else body * _GAP
    groups: list[list[tuple[Line, Column]]] = []
    for line, column in zip(page, columns_of(page), strict=True):
        if groups and not _breaks(groups[-1], line, pitch):
            groups[-1].append((line, column))
        else:
            groups.append([(line, column)])
    return [_paragraph(group, body) for group in groups]


def _paragraph(group: Sequence[tuple[Line, Column]], body: float) -> Paragraph:
    lines = [line for line, _ in group]
    short = len(group) > 1 and all(column.is_short(line) for line, column in group)
    ragged = short and not any(line.text.endswith(("-", SOFT)) for line in lines)
    last, column = group[-1]
    return Paragraph(
        tuple(lines), _is_heading(lines, body), ragged, full=column.justified and column.is_full(last)
    )


def _breaks(group: Sequence[tuple[Line, Column]], line: Line, pitch: float) -> bool:
    """Whether `line` begins a new paragraph."""
    first, (last, column) = group[0][0], group[-1]
    if line.table or last.table:
        return line.table != last.table
    if abs(line.height - last.height) > 0.08 * last.height or line.bold != last.bold:
        return not _goes_on(last, line, pitch)
    if not 0 < last.top - line.top < max(_GAP * pitch, 1.25 * last.height):
        return abs(last.top - line.top) > 0.2 * last.height
    if _BULLET.match(line.text):
        return not _BULLET.match(first.text)
    short = not column.is_full(last) if column.justified else column.is_short(last)
    indented = line.left > last.left + 0.8 * line.height and last.left <= first.left + 1 and len(group) > 1
    return (short or indented) and bool(_FULL_STOP.search(last.text))


def _goes_on(last: Line, line: Line, pitch: float) -> bool:
    """Whether a change of font happens within a sentence."""
    same_size = abs(line.height - last.height) <= 0.08 * last.height
    close = -0.2 * last.height <= last.top - line.top < _GAP * pitch
    return same_size and close and line.text[:1].islower() and not _FULL_STOP.search(last.text)


def _is_heading(group: Sequence[Line], body: float) -> bool:
    first = group[0]
    if first.table:
        return False
    chars = sum(len(line.text) for line in group)
    if chars > _HEADING_CHARS or len(group) > 3 or not any(char.isalpha() for char in first.text):
        return False
    if first.height > _LARGER * body:
        return True
    return all(line.bold for line in group) and first.text[-1] not in ".,;" and not _BULLET.match(first.text)


def heading_levels(found: Iterable[Paragraph], body: float) -> dict[tuple[float, bool], int]:
    """Level of each heading style: the largest is 1, bold text of the body's size the lowest."""
    styles = sorted({p.style for p in found if p.is_heading}, reverse=True)
    return {style: min(level, 6) for level, style in enumerate(styles, 1)}
