"""What stands on a slide, in reading order: the title, then from top to bottom and left to right."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lxml import etree

A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_SHAPES = (f"{P}sp", f"{P}grpSp", f"{P}graphicFrame", f"{P}pic", f"{P}cxnSp")
_BAND = 228_600
"""Shapes whose tops are within a quarter of an inch stand side by side."""
_LAST = 1 << 40
TITLES = ("title", "ctrTitle")
_FURNITURE = ("dt", "ftr", "sldNum", "hdr")
_KINDS = {"ctrTitle": "title", "obj": "body", "subTitle": "body"}
_DEEPEST_GROUP = 20

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Shape:
    """One shape.

    Attributes:
        holder: Kind of the placeholder that it fills; "" for one that fills none.
    """

    element: etree._Element
    holder: str


class Shapes:
    """The shapes of one slide.

    Args:
        above: Master and layout, that place what the slide itself does not; the later one wins.
        size: Width and height of a slide.
    """

    def __init__(self, slide: etree._Element, above: Iterable[etree._Element], size: tuple[int, int]) -> None:
        self._tree = slide.find(f"{P}cSld/{P}spTree")
        self._size = size
        self._places = dict(place for one in above for place in _placed(one))
        self.hidden = 0

    def __iter__(self) -> Iterator[Shape]:
        if self._tree is not None:
            yield from self._of(self._tree, 0)

    def _of(self, parent: etree._Element, depth: int) -> Iterator[Shape]:
        found = [(shape, self._box(shape.element)) for shape in _shapes(parent)]
        inside = [(shape, box) for shape, box in found if depth or not self._is_off(box)]
        self.hidden += sum(
            _has_text(shape.element) for shape, box in found if not depth and self._is_off(box)
        )
        for shape, _ in sorted(inside, key=lambda one: _order(*one)):
            if _is_hidden(shape.element):
                self.hidden += _has_text(shape.element)
            elif shape.holder in _FURNITURE:
                continue
            elif shape.element.tag == f"{P}grpSp":
                if depth < _DEEPEST_GROUP:
                    yield from self._of(shape.element, depth + 1)
            else:
                yield shape

    def _box(self, shape: etree._Element) -> Box | None:
        return _box(shape) or next((self._places[key] for key in _keys(shape) if key in self._places), None)

    def _is_off(self, box: Box | None) -> bool:
        """Whether nothing of it is on the slide."""
        if box is None:
            return False
        left, top, width, height = box
        return left >= self._size[0] or top >= self._size[1] or left + width <= 0 or top + height <= 0


def _shapes(parent: etree._Element) -> Iterator[Shape]:
    for element in parent:
        if element.tag in _SHAPES:
            holder = element.find(f"*/{P}nvPr/{P}ph")
            yield Shape(element, "" if holder is None else holder.get("type", "obj"))
        elif element.tag == f"{_MC}AlternateContent":
            chosen = element.find(f"{_MC}Choice")
            yield from _shapes(element if chosen is None else chosen)


def _order(shape: Shape, box: Box | None) -> tuple[bool, int, int]:
    left, top = box[:2] if box else (0, _LAST)
    return shape.holder not in TITLES, top // _BAND, left


def _box(shape: etree._Element) -> Box | None:
    for path in (f"{P}spPr/{A}xfrm", f"{P}grpSpPr/{A}xfrm", f"{P}xfrm"):
        if (place := shape.find(path)) is not None:
            offset, extent = place.find(f"{A}off"), place.find(f"{A}ext")
            if offset is not None and extent is not None:
                numbers = (offset.get("x"), offset.get("y"), extent.get("cx"), extent.get("cy"))
                return tuple(_number(one) for one in numbers)  # type: ignore[return-value]
    return None


def _placed(layout: etree._Element) -> Iterator[tuple[str, Box]]:
    for shape in layout.iter(f"{P}sp"):
        if (box := _box(shape)) is not None:
            yield from ((key, box) for key in _keys(shape))


def _keys(shape: etree._Element) -> Iterator[str]:
    """By what a slide's placeholder finds the layout's or the master's: number, then kind."""
    holder = shape.find(f"*/{P}nvPr/{P}ph")
    if holder is not None:
        if index := holder.get("idx"):
            yield f"#{index}"
        kind = holder.get("type", "obj")
        yield _KINDS.get(kind, kind)


def _is_hidden(shape: etree._Element) -> bool:
    properties = shape.find(f"*/{P}cNvPr")
    return properties is not None and properties.get("hidden") in ("1", "true")


def _has_text(shape: etree._Element) -> bool:
    return any((text.text or "").strip() for text in shape.iter(f"{A}t"))


def _number(text: str | None) -> int:
    return int(text) if text and text.lstrip("-").isdecimal() else 0
