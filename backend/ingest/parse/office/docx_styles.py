"""What the styles of a Word document make of its paragraphs and runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_WPS = "{http://schemas.microsoft.com/office/word/2010/wordprocessingShape}wsp"
_VML = "{urn:schemas-microsoft-com:vml}"
_HEADING = re.compile(r"(?i)^heading (\d)$")
_CONTENTS = re.compile(r"(?i)^(?:toc \d|toc ?heading|table of figures)$")
_LISTED = re.compile(r"(?i)^list (bullet|number)(?: ([2-9]))?$")
_OFF = ("0", "false", "off", "none")
_TINY_HALF_POINTS = 2
_DEEPEST = 6
_NEAR = 12
_CHAIN = 20
_BODY_TEXT = 9


@dataclass(frozen=True, slots=True)
class Listed:
    """An item by style alone; `level` from 0."""

    ordered: bool
    level: int


class Styles:
    """Looks up what an element says itself, then what its styles say."""

    def __init__(self, root: etree._Element | None) -> None:
        found = () if root is None else root.iter(f"{W}style")
        self._by_id = {one.get(f"{W}styleId", ""): one for one in found}

    def heading_level(self, paragraph: etree._Element) -> int:
        """1 to 6; 0 for what is no heading."""
        if self.is_title(paragraph):
            return 0
        own = _outline(paragraph.find(f"{W}pPr"))
        if own is not None:
            return own
        for style in self._chain(_style(paragraph, "pPr/pStyle")):
            if match := _HEADING.match(_name(style)):
                return min(int(match.group(1)), _DEEPEST)
            if (level := _outline(style.find(f"{W}pPr"))) is not None:
                return level
        match = re.match(r"(?i)^heading(\d)$", _style(paragraph, "pPr/pStyle"))
        return min(int(match.group(1)), _DEEPEST) if match else 0

    def is_title(self, paragraph: etree._Element) -> bool:
        """Whether it is the document's title."""
        style = self._by_id.get(_style(paragraph, "pPr/pStyle"))
        return style is not None and _name(style).lower() == "title"

    def is_contents(self, paragraph: etree._Element) -> bool:
        """Whether it is a line of a table of contents."""
        style = self._by_id.get(_style(paragraph, "pPr/pStyle"))
        return style is not None and bool(_CONTENTS.match(_name(style)))

    def list_by_style(self, paragraph: etree._Element) -> Listed | None:
        """The item that one of Word's list styles makes of a paragraph without numbering of its own."""
        if paragraph.find(f"{W}pPr/{W}numPr") is not None:
            return None
        for style in self._chain(_style(paragraph, "pPr/pStyle")):
            if match := _LISTED.match(_name(style)):
                return Listed(match.group(1).lower() == "number", int(match.group(2) or 1) - 1)
        return None

    def is_hidden(self, run: etree._Element) -> bool:
        """Whether nobody sees the run: marked as hidden, too small to see, or of its background's colour."""
        if _is_on(self._of_run(run, "vanish")):
            return True
        size = value(self._of_run(run, "sz"))
        if size.isdigit() and int(size) <= _TINY_HALF_POINTS:
            return True
        colour = _rgb(value(self._of_run(run, "color")))
        return colour is not None and self._background(run, colour)

    def _background(self, run: etree._Element, colour: tuple[int, ...]) -> bool:
        """Whether what is known to lie behind the run has this colour; white, where nothing is painted."""
        highlight = value(self._of_run(run, "highlight"))
        if highlight and highlight != "none":
            return highlight == "white" and _near(colour, (255, 255, 255))
        if (shade := self._of_run(run, "shd")) is not None and (fill := _fill(shade)) is not None:
            return _near(colour, fill)
        for above in run.iterancestors():
            if above.tag in (_WPS, f"{W}txbxContent", f"{W}pict") or str(above.tag).startswith(_VML):
                return False  # a shape, painted we do not know how
            for shade in self._shades(above):
                if (fill := _fill(shade)) is not None:
                    return _near(colour, fill)
            if above.tag == f"{W}tbl" and above.find(f"{W}tblPr/{W}tblStyle") is not None:
                return False  # its style may paint bands
            if above.tag == f"{W}document" and above.find(f"{W}background") is not None:
                return False
        return _near(colour, (255, 255, 255))

    def _shades(self, element: etree._Element) -> Iterator[etree._Element]:
        kinds = {f"{W}p": "pPr", f"{W}tc": "tcPr", f"{W}tbl": "tblPr"}
        if kind := kinds.get(str(element.tag)):
            holders = [element]
            if kind == "pPr":
                holders += self._chain(_style(element, "pPr/pStyle"))
            for holder in holders:
                yield from holder.findall(f"{W}{kind}/{W}shd")

    def _of_run(self, run: etree._Element, name: str) -> etree._Element | None:
        """A property of the run, its character style or its paragraph's style, whichever says it first."""
        holders = [run, *self._chain(_style(run, "rPr/rStyle"))]
        paragraph = next(run.iterancestors(f"{W}p"), None)
        if paragraph is not None:
            holders += self._chain(_style(paragraph, "pPr/pStyle"))
        for holder in holders:
            if (found := holder.find(f"{W}rPr/{W}{name}")) is not None:
                return found
        return None

    def _chain(self, style: str) -> list[etree._Element]:
        """The style and those it is based on."""
        found: list[etree._Element] = []
        while style in self._by_id and len(found) < _CHAIN:
            found.append(self._by_id[style])
            style = _style(found[-1], "basedOn")
        return found


def value(element: etree._Element | None) -> str:
    """What a property is set to; "" if it is not there."""
    return "" if element is None else element.get(f"{W}val", "")


def _style(element: etree._Element, path: str) -> str:
    return value(element.find("/".join(W + part for part in path.split("/"))))


def _name(style: etree._Element) -> str:
    return value(style.find(f"{W}name"))


def _outline(properties: etree._Element | None) -> int | None:
    """The level that an outline gives, from 1; 0 for body text."""
    level = value(properties.find(f"{W}outlineLvl")) if properties is not None else ""
    if not level.isdigit():
        return None
    return min(int(level) + 1, _DEEPEST) if int(level) < _BODY_TEXT else 0


def _is_on(element: etree._Element | None) -> bool:
    return element is not None and value(element).lower() not in _OFF


def _fill(shade: etree._Element) -> tuple[int, ...] | None:
    return _rgb(shade.get(f"{W}fill", ""))


def _rgb(text: str) -> tuple[int, ...] | None:
    if not re.fullmatch(r"[0-9A-Fa-f]{6}", text):
        return None
    return tuple(bytes.fromhex(text))


def _near(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return max(abs(x - y) for x, y in zip(a, b, strict=True)) <= _NEAR
