"""What a page's style sheets and `style` attributes say of its elements, as far as it bears on being seen."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast

from cssselect import HTMLTranslator, SelectorError
from cssselect.parser import Selector
from cssselect.parser import parse as parse_selectors
from lxml import etree

WATCHED = frozenset(
    str.split(
        "font margin inset translate scale -webkit-text-fill-color "
        "display visibility opacity font-size text-indent position left right top bottom margin-left "
        "margin-top clip clip-path transform overflow overflow-x overflow-y width height max-width "
        "max-height color background background-color background-image background-clip "
        "-webkit-background-clip content-visibility transition transition-property "
        "transition-duration animation animation-name will-change filter"
    )
)
FRAMEWORKS = """
.sr-only, .visually-hidden, .screen-reader-text { clip-path: inset(50%) }
.d-none:not([class*="d-sm-"]):not([class*="d-md-"]):not([class*="d-lg-"]) { display: none }
.hidden:not([class*=":"]) { display: none }
.is-hidden { display: none }
"""
"""Names that the common frameworks' sheets define, for pages that hold a copy without them."""
_SCREEN_PX = 1280
_MAX_SHEET = 400_000
_MAX_SELECTORS = 600
_MAX_LOOKS = 5_000_000
"""Elements looked at for selectors of several names; with all 600 on a page of 50,000, 25 s became 11 s."""
_COMMENT = re.compile(r"/\*.*?\*/", re.S)
_ONE_NAME = re.compile(r"[.#]-?[A-Za-z_][\w-]*")
_NAME = re.compile(r"([.#])(-?[A-Za-z_][\w-]*)")
_STATE = re.compile(r"::|:(?:hover|focus|active|visited|target|checked|before|after|selection|host|-)", re.I)
_WIDTH = re.compile(r"\((min|max)-width:\s*([\d.]+)(px|r?em)\)")
_SPACE = re.compile(r"\s+")


@dataclass(slots=True)
class Style:
    """Winning declarations of one element: property to value, without its weight."""

    values: dict[str, str] = field(default_factory=dict)
    _weights: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def offer(self, name: str, value: str, weight: tuple[int, ...]) -> None:
        """A declaration, kept where nothing weighs more."""
        if weight >= self._weights.get(name, ()):
            self.values[name], self._weights[name] = value, weight

    def get(self, name: str) -> str:
        """Value of a property in small letters; "" where nobody says."""
        return self.values.get(name, "")


class Styles:
    """The styles of a whole page."""

    def __init__(self, root: etree._Element) -> None:
        self._of: dict[etree._Element, Style] = {}
        sheets = "\n".join("".join(style.itertext()) for style in root.iter("style") if _for_screen(style))
        page = _Named(root)
        order = 0
        for sheet, origin in ((FRAMEWORKS, 0), (sheets[:_MAX_SHEET], 1)):
            for selectors, declarations in _rules(sheet):
                watched = list(_declarations(declarations))
                if not watched:
                    continue
                for selector in _selectors(selectors, page.names):
                    order += 1
                    if order > _MAX_SELECTORS:
                        return
                    self._apply(page.matched(selector), selector.specificity(), watched, (origin, order))

    def of(self, element: etree._Element) -> Style | None:
        """What is said of `element`, its own `style` attribute included; None where nothing is."""
        style = self._of.get(element)
        if own := element.get("style"):
            style = style or Style()
            for name, value, important in _declarations(own):
                style.offer(name, value, (important, 1, 1, 0, 0, 0, 0))
        return style

    def _apply(
        self,
        elements: Iterable[etree._Element],
        specificity: tuple[int, int, int],
        watched: list[tuple[str, str, bool]],
        place: tuple[int, int],
    ) -> None:
        origin, order = place
        for element in elements:
            style = self._of.setdefault(element, Style())
            for name, value, important in watched:
                style.offer(name, value, (important, origin, 0, *specificity, order))


class _Named:
    """The elements of a page by class and id: most selectors are one name."""

    def __init__(self, root: etree._Element) -> None:
        self._root = root
        self.names: dict[str, list[etree._Element]] = defaultdict(list)
        self._looks = _MAX_LOOKS // (1 + sum(1 for _ in root.iter(etree.Element)))
        for element in root.iter(etree.Element):
            for name in element.get("class", "").split():
                self.names["." + name].append(element)
            if name := element.get("id"):
                self.names["#" + name].append(element)

    def matched(self, selector: Selector) -> Iterable[etree._Element]:
        """The elements of the page that `selector` means."""
        if _ONE_NAME.fullmatch(name := selector.canonical()):
            return self.names.get(name, ())
        self._looks -= 1
        if self._looks < 0:
            return ()
        with suppress(SelectorError, etree.XPathError):
            return cast(list[etree._Element], self._root.xpath(HTMLTranslator().selector_to_xpath(selector)))
        return ()


def _for_screen(style: etree._Element) -> bool:
    return _applies(style.get("media", ""))


def _selectors(text: str, names: Container[str]) -> Iterator[Selector]:
    """The selectors of a rule that can match something of the page as it lies there."""
    for one in text.split(","):
        plain = one.split(":not(")[0]
        if _STATE.search(one) or any(kind + name not in names for kind, name in _NAME.findall(plain)):
            continue
        with suppress(SelectorError):
            yield from parse_selectors(one)


def _rules(sheet: str) -> Iterator[tuple[str, str]]:
    """Selectors and declarations of every rule that holds on a screen."""
    text = _COMMENT.sub("", sheet)
    start, depth, blocks = 0, 0, [True]
    for match in re.finditer(r"[{};]", text):
        sign, end = match.group(), match.end()
        head = text[start : end - 1].strip()
        if sign == "{":
            if head.startswith("@"):
                blocks.append(blocks[-1] and _block_applies(head))
                depth += 1
                start = end
            else:
                close = text.find("}", end)
                close = len(text) if close < 0 else close
                if blocks[-1]:
                    yield head, text[end:close]
                start = -1
        elif sign == "}":
            if start >= 0 and depth:
                blocks.pop()
                depth -= 1
            start = end
        elif start >= 0:
            start = end


def _block_applies(head: str) -> bool:
    name, _, condition = head.partition(" ")
    if name == "@media":
        return _applies(condition)
    return name in ("@supports", "@layer", "@container", "@scope")


def _applies(media: str) -> bool:
    """Whether a media query holds for a screen of usual width; what is not understood does not."""
    return not media.strip() or any(_one_applies(one) for one in media.lower().split(","))


def _one_applies(query: str) -> bool:
    for bound, size, unit in _WIDTH.findall(query):
        pixels = float(size) * (1 if unit == "px" else 16)
        if (pixels > _SCREEN_PX) if bound == "min" else (pixels < _SCREEN_PX):
            return False
    rest = _SPACE.sub(" ", _WIDTH.sub("", query)).replace("and", "").strip()
    return rest in ("", "all", "screen", "only screen", "only all")


def _declarations(text: str) -> Iterator[tuple[str, str, bool]]:
    """Property, value in small letters, and whether it is important."""
    for one in _COMMENT.sub("", text).split(";"):
        name, colon, value = one.partition(":")
        name = name.strip().lower()
        if colon and name in WATCHED:
            value = _SPACE.sub(" ", value.strip().lower())
            important = value.endswith(("!important", "! important"))
            yield name, value.rsplit("!", 1)[0].strip() if important else value, important
