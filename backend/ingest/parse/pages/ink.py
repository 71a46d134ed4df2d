"""Words of a PDF page that leave no ink: white on white, invisible, covered, clipped, off the page.

The page is drawn twice, with its text and without. What a reader sees is what differs between the two,
whatever the way in which the rest was hidden; so white text on a coloured band stays.

A searchable scan is the exception: its recognised text is invisible on purpose, over the image of the page.
"""

from __future__ import annotations

import ctypes
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import compress, product
from typing import Any

import numpy as np
import pypdfium2 as pdfium
import pypdfium2.raw as raw
from numpy.typing import NDArray

_WORD = re.compile(r"\S+")
_PIXELS = 1_000_000
_CONTRAST = 20
_INKED_SHARE = 0.08
_SMALLEST_PT = 1.5
_MARGIN = 0.11
_SCAN_SHARE = 0.7
_MAX_OBJECTS = 100_000
_DRAWING_S = 15.0
"""Processor time for one document: maps and scans take seconds, and the text must still be read."""

_Pixels = NDArray[np.uint8]
_Object = Any


@dataclass(frozen=True, slots=True)
class Unseen:
    """What a page hides.

    Attributes:
        spans: Characters of each place, from and to.
        scanned: The page is an image, and its invisible text was kept.
    """

    spans: tuple[tuple[int, int], ...] = ()
    scanned: bool = False

    def blanked(self, text: str) -> str:
        """`text` with spaces in place of what is hidden; no character changes its place."""
        parts, last = [], 0
        for start, end in self.spans:
            parts += [text[last:start], " " * (end - start)]
            last = end
        return "".join([*parts, text[last:]])


@dataclass(frozen=True, slots=True)
class _Words:
    """The words of a page, an entry or a row for each.

    Attributes:
        places: Characters from and to.
        boxes: Left, bottom, right, top in points.
        heights: Of the type, in points.
        colours: Blue, green, red of plainly filled text, else -1.
    """

    places: tuple[tuple[int, int], ...]
    boxes: NDArray[np.float64]
    heights: NDArray[np.float64]
    colours: NDArray[np.int16]
    invisible: NDArray[np.bool_]


@dataclass(slots=True)
class Eye:
    """Looks at the pages of one document."""

    left_s: float = field(default=_DRAWING_S)

    def unseen(self, page: pdfium.PdfPage, textpage: pdfium.PdfTextPage, text: str) -> Unseen:
        """What is hidden of `text`, one character for each of the text page's."""
        words = _words(textpage, text)
        if not words.places:
            return Unseen()
        began = time.process_time()
        pair = _drawn(page) if self.left_s > 0 else None
        self.left_s -= time.process_time() - began
        hidden = _without_ink(page, words, pair)
        if not hidden.any():
            return Unseen()
        if _is_scan(page, words, hidden, pair):
            return Unseen(scanned=True)
        return Unseen(_joined(words, hidden, text))


def _words(textpage: pdfium.PdfTextPage, text: str) -> _Words:
    places = tuple(found.span() for found in _WORD.finditer(text))
    box, boxes, heights = _Box(), [], []
    paints: dict[int | None, tuple[int, int, int, int]] = {}
    painted = []
    for start, end in places:
        first, last = box.tight(textpage, start), box.tight(textpage, end - 1)
        boxes.append((*map(min, first[:2], last[:2]), *map(max, first[2:], last[2:])))
        heights.append(box.type_height(textpage, start))
        item = raw.FPDFText_GetTextObject(textpage.raw, start)
        address = ctypes.cast(item, ctypes.c_void_p).value
        if address not in paints:
            paints[address] = _paint(textpage, start, item)
        painted.append(paints[address])
    paint = np.array(painted, dtype=np.int16).reshape(-1, 4)
    return _Words(
        places,
        np.array(boxes),
        np.array(heights),
        paint[:, 1:],
        paint[:, 0] == raw.FPDF_TEXTRENDERMODE_INVISIBLE,
    )


class _Box:
    """Boxes of characters, by buffers that are made once: there are thousands on a page."""

    def __init__(self) -> None:
        self._left, self._right, self._bottom, self._top = (ctypes.c_double() for _ in range(4))
        self._loose = raw.FS_RECTF()

    def tight(self, textpage: pdfium.PdfTextPage, index: int) -> tuple[float, float, float, float]:
        raw.FPDFText_GetCharBox(textpage.raw, index, self._left, self._right, self._bottom, self._top)
        return self._left.value, self._bottom.value, self._right.value, self._top.value

    def type_height(self, textpage: pdfium.PdfTextPage, index: int) -> float:
        loose = self._loose
        raw.FPDFText_GetLooseCharBox(textpage.raw, index, loose)
        return float(max(abs(loose.top - loose.bottom), abs(loose.right - loose.left)))


def _paint(textpage: pdfium.PdfTextPage, index: int, item: _Object) -> tuple[int, int, int, int]:
    """Render mode, blue, green and red."""
    mode = raw.FPDFTextObj_GetTextRenderMode(item) if item else raw.FPDF_TEXTRENDERMODE_FILL
    red, green, blue, alpha = (ctypes.c_uint() for _ in range(4))
    plain = mode == raw.FPDF_TEXTRENDERMODE_FILL
    if not plain or not raw.FPDFText_GetFillColor(textpage.raw, index, red, green, blue, alpha):
        return mode, -1, -1, -1
    return mode, blue.value, green.value, red.value


def _drawn(page: pdfium.PdfPage) -> tuple[_Pixels, _Pixels]:
    """The page in pixels (blue, green, red) with its text and without."""
    texts = [item for item in _objects(page) if raw.FPDFPageObj_GetType(item) == raw.FPDF_PAGEOBJ_TEXT]
    shown = _pixels(page)
    for item in texts:
        raw.FPDFPageObj_SetIsActive(item, False)
    try:
        return shown, _pixels(page)
    finally:
        for item in texts:
            raw.FPDFPageObj_SetIsActive(item, True)


def _objects(page: pdfium.PdfPage) -> Iterator[_Object]:
    """Objects of the page, and those inside its forms."""
    found = 0
    stack = [raw.FPDFPage_GetObject(page.raw, n) for n in range(raw.FPDFPage_CountObjects(page.raw))]
    while stack and (found := found + 1) < _MAX_OBJECTS:
        item = stack.pop()
        if raw.FPDFPageObj_GetType(item) == raw.FPDF_PAGEOBJ_FORM:
            stack += [raw.FPDFFormObj_GetObject(item, n) for n in range(raw.FPDFFormObj_CountObjects(item))]
        yield item


def _pixels(page: pdfium.PdfPage) -> _Pixels:
    scale = min(1.0, (_PIXELS / max(1.0, page.get_width() * page.get_height())) ** 0.5)
    bitmap = page.render(scale=scale, may_draw_forms=False, force_bitmap_format=raw.FPDFBitmap_BGR)
    try:
        return np.array(bitmap.to_numpy(), dtype=np.uint8)
    finally:
        bitmap.close()


def _without_ink(
    page: pdfium.PdfPage, words: _Words, pair: tuple[_Pixels, _Pixels] | None
) -> NDArray[np.bool_]:
    """For each word whether it is hidden. Without drawings only what its own attributes say."""
    small = words.heights < _SMALLEST_PT
    if pair is None:
        return small | words.invisible | _is_outside(words.boxes, page)
    shown, bare = pair
    boxes = _in_pixels(page, words.boxes, bare)
    inked = _share(_changed(shown, bare), boxes) >= _INKED_SHARE
    return small | ~inked | _is_camouflaged(words, bare, boxes)


def _changed(shown: _Pixels, bare: _Pixels) -> NDArray[np.bool_]:
    """Which pixels differ: unsigned bytes, one channel after the other, for speed."""
    apart = np.maximum(shown, bare) - np.minimum(shown, bare)
    most = np.maximum(np.maximum(apart[..., 0], apart[..., 1]), apart[..., 2])
    changed: NDArray[np.bool_] = most >= _CONTRAST
    return changed


def _is_outside(boxes: NDArray[np.float64], page: pdfium.PdfPage) -> NDArray[np.bool_]:
    left, bottom, right, top = boxes.T
    outside: NDArray[np.bool_] = (
        (right <= 0) | (top <= 0) | (left >= page.get_width()) | (bottom >= page.get_height())
    )
    return outside


def _is_camouflaged(words: _Words, bare: _Pixels, boxes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether a word has the colour of what lies under it: other ink at its place is another word's."""
    left, top, right, bottom = boxes.T
    across = [left, (left + right) // 2, right - 1]
    down = [top, (top + bottom) // 2, bottom - 1]
    alike = words.colours[:, 0] >= 0
    for x, y in product(across, down):
        under = bare[y.clip(0, bare.shape[0] - 1), x.clip(0, bare.shape[1] - 1)]
        alike &= (np.abs(under.astype(np.int16) - words.colours) < _CONTRAST).all(axis=1)
    return alike


def _in_pixels(page: pdfium.PdfPage, boxes: NDArray[np.float64], drawing: _Pixels) -> NDArray[np.int64]:
    """Boxes in pixels: left, top, right, bottom, inside the drawing; empty for a box outside it."""
    height, width = drawing.shape[:2]
    corners = [_device(page, width, height, *point) for point in ((0, 0), (1000, 0), (0, 1000))]
    origin, along, up = (np.array(corner, dtype=float) for corner in corners)
    axes = np.array([(along - origin) / 1000, (up - origin) / 1000])
    ends = np.stack([boxes[:, :2] @ axes + origin, boxes[:, 2:] @ axes + origin])
    low, high = np.floor(ends.min(axis=0)), np.ceil(ends.max(axis=0))
    high = np.maximum(high, low + 1)
    limit = np.array([width, height])
    return np.concatenate([low.clip(0, limit), high.clip(0, limit)], axis=1).astype(np.int64)


def _device(page: pdfium.PdfPage, width: int, height: int, x: float, y: float) -> tuple[int, int]:
    across, down = ctypes.c_int(), ctypes.c_int()
    raw.FPDF_PageToDevice(page.raw, 0, 0, width, height, 0, x, y, across, down)
    return across.value, down.value


def _share(marked: NDArray[np.bool_], boxes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of marked pixels in each box, 0 for a box without pixels."""
    sums = np.zeros((marked.shape[0] + 1, marked.shape[1] + 1), dtype=np.int32)
    np.cumsum(marked, axis=1, out=sums[1:, 1:])
    np.cumsum(sums, axis=0, out=sums)
    left, top, right, bottom = boxes.T
    inside = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
    share: NDArray[np.float64] = inside / np.maximum(1, (right - left) * (bottom - top))
    return share


def _is_scan(
    page: pdfium.PdfPage,
    words: _Words,
    hidden: NDArray[np.bool_],
    pair: tuple[_Pixels, _Pixels] | None,
) -> bool:
    """Whether an image fills the page, no visible word stands outside its margins, and it shows the words."""
    height, bottoms = page.get_height(), words.boxes[:, 1]
    inner = (bottoms > _MARGIN * height) & (bottoms < (1 - _MARGIN) * height)
    under = words.boxes[hidden & (words.heights >= _SMALLEST_PT)]
    if not len(under) or (inner & ~hidden).any() or not any(_fills(item, page) for item in _objects(page)):
        return False
    return pair is None or _shows(pair[1], _in_pixels(page, under, pair[1]))


def _fills(item: _Object, page: pdfium.PdfPage) -> bool:
    if raw.FPDFPageObj_GetType(item) != raw.FPDF_PAGEOBJ_IMAGE:
        return False
    left, bottom, right, top = (ctypes.c_float() for _ in range(4))
    raw.FPDFPageObj_GetBounds(item, left, bottom, right, top)
    area = (right.value - left.value) * (top.value - bottom.value)
    return bool(area >= _SCAN_SHARE * page.get_width() * page.get_height())


def _shows(bare: _Pixels, boxes: NDArray[np.int64]) -> bool:
    """Whether most of the boxes hold both light and dark."""
    spans = [bare[top:bottom, left:right] for left, top, right, bottom in boxes]
    mixed = sum(int(span.max()) - int(span.min()) >= _CONTRAST for span in spans if span.size)
    return mixed > len(boxes) / 2


def _joined(words: _Words, hidden: NDArray[np.bool_], text: str) -> tuple[tuple[int, int], ...]:
    """Neighbouring hidden words of one line as one place."""
    spans: list[tuple[int, int]] = []
    for start, end in compress(words.places, hidden):
        if spans and not text[spans[-1][1] : start].strip(" "):
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return tuple(spans)
