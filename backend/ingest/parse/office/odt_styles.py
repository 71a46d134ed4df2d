"""What the styles of an OpenDocument text say of its paragraphs, words and lists."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from lxml import etree

TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_STYLE = "{urn:oasis:names:tc:opendocument:xmlns:style:1.0}"
_FO = "{urn:oasis:names:tc:opendocument:xmlns:xsl-fo-compatible:1.0}"
_DRAW = "{urn:oasis:names:tc:opendocument:xmlns:drawing:1.0}"
_TINY = re.compile(r"^(?:0(?:\.\d+)?|1(?:\.0+)?)(?:pt|px)$")
_CHAIN = 20
_WHITE = "#ffffff"


class Styles:
    """Styles by family and name, with those that they are based on.

    Args:
        roots: The parts that hold some; the first to name one wins.
    """

    def __init__(self, roots: Iterable[etree._Element]) -> None:
        self._styles: dict[str, etree._Element] = {}
        self._lists: dict[str, etree._Element] = {}
        for root in roots:
            for style in root.iter(f"{_STYLE}style"):
                self._styles.setdefault(style.get(f"{_STYLE}name", ""), style)
            for style in root.iter(f"{TEXT}list-style"):
                self._lists.setdefault(style.get(f"{_STYLE}name", ""), style)

    def is_title(self, paragraph: etree._Element) -> bool:
        """Whether a paragraph is the document's title."""
        own = paragraph.get(f"{TEXT}style-name") == "Title"
        return own or any(style.get(f"{_STYLE}name") == "Title" for style in self._of(paragraph))

    def is_ordered(self, name: str, level: int) -> bool:
        """Whether lists of that style have numbers at that level, from 1."""
        style = self._lists.get(name)
        if style is None:
            return False
        for one in style.iterfind(f"{TEXT}list-level-style-number"):
            if one.get(f"{TEXT}level") == str(level):
                return bool(one.get(f"{_STYLE}num-format"))
        return False

    def is_hidden(self, element: etree._Element) -> bool:
        """Whether nobody sees a paragraph or a span, by its own style and those that it is based on."""
        for style in self._of(element):
            words = style.find(f"{_STYLE}text-properties")
            if words is None:
                continue
            if words.get(f"{TEXT}display") in ("none", "true"):
                return True
            if _TINY.match(words.get(f"{_FO}font-size", "")):
                return True
            if colour := words.get(f"{_FO}color", "").lower():
                return bool(colour == self._background(element))
        return False

    def is_collapsed(self, element: etree._Element) -> bool:
        """Whether a section is not shown."""
        return bool(element.get(f"{TEXT}display") == "none")

    def _background(self, element: etree._Element) -> str:
        """The colour behind; "" in a frame, which is painted we do not know how."""
        for above in (element, *element.iterancestors()):
            if above.tag == f"{_DRAW}text-box":
                return ""
            for style in self._of(above):
                for properties in style:
                    fill: str = properties.get(f"{_FO}background-color", "transparent").lower()
                    if fill != "transparent":
                        return fill
        return _WHITE

    def _of(self, element: etree._Element) -> Iterator[etree._Element]:
        """The element's style and those it is based on."""
        name = element.get(f"{TEXT}style-name") or element.get(f"{TABLE}style-name") or ""
        for _ in range(_CHAIN):
            if name not in self._styles:
                return
            yield self._styles[name]
            name = self._styles[name].get(f"{_STYLE}parent-style-name", "")
